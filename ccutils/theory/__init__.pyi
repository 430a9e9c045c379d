from .gradient_flow import (
    behaviour as behaviour,
)
from .gradient_flow import (
    best_ray as best_ray,
)
from .gradient_flow import (
    flow as flow,
)
from .gradient_flow import (
    stationary_point as stationary_point,
)
from .knowledge import (
    knowledge_chart as knowledge_chart,
)
from .knowledge import (
    knowledge_rows as knowledge_rows,
)
from .model import (
    World as World,
)
from .model import (
    best_gate as best_gate,
)
from .model import (
    context_kinds as context_kinds,
)
from .model import (
    copying_threshold as copying_threshold,
)
from .model import (
    gradient as gradient,
)
from .model import (
    loss as loss,
)
from .model import (
    signals as signals,
)
from .spread import (
    contrast_signal as contrast_signal,
)
from .spread import (
    spread_contexts as spread_contexts,
)
from .spread import (
    spread_end as spread_end,
)
