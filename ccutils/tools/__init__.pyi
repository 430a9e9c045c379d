from .compare import paired_differences as paired_differences
from .endpoint import Endpoint as Endpoint
from .endpoint import EndpointError as EndpointError
from .export import write_export as write_export
from .probe import Asking as Asking
from .probe import check_up as check_up
