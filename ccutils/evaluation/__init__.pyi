from .baselines import measure_baselines as measure_baselines
from .elsewhere import ask_elsewhere as ask_elsewhere
from .responder import Responder as Responder
from .responder import find_responder as find_responder
from .runs import Probed as Probed
from .runs import find_or_train as find_or_train
from .runs import probe_run as probe_run
