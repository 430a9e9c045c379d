"""Every bad input gets one line that names what is wrong, whichever layer of the code refuses it."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from bad_inputs import GROUPS, Group

CASES = [
    pytest.param(group, value, name, id=f"{title}-{number}-{name}")
    for title, group in GROUPS.items()
    for number, (value, name) in enumerate(group.inputs)
]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("group", "value", "name"), CASES)
def test_bad_input_is_refused_with_its_name(
    group: Group, value: Any, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value = deepcopy(value)
    if isinstance(group.expected, int):
        assert group.attempt(tmp_path, value) == group.expected
        message = capsys.readouterr().err
        assert "Traceback" not in message
    else:
        with pytest.raises(group.expected) as caught:
            group.attempt(tmp_path, value)
        message = str(caught.value)
        assert "\n" not in message
    assert name in message
