from .gradient_flow import behaviour as behaviour
from .gradient_flow import flow as flow
from .knowledge import knowledge_rows as knowledge_rows
from .model import World as World
from .model import context_kinds as context_kinds
from .model import contrast_signal as contrast_signal
from .prediction import predict_panels as predict_panels
