"""Where a number comes from is told in full."""

from pathlib import Path

import pytest

from ccutils.origin import describe_origin, describe_processor


def test_an_origin_names_code_machine_versions_and_date() -> None:
    origin = describe_origin()
    assert set(origin) == {"commit", "processor", "versions", "date"} and all(origin.values())
    assert "torch " in origin["versions"] and origin["date"].count("-") == 2


def test_a_processor_is_told_with_its_vectors_and_what_is_forced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MKL_CBWR", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    (tmp_path / "cpuinfo").write_text("model name\t: Abacus 3000\nflags\t\t: sse avx2 fma\n")
    assert describe_processor(tmp_path / "cpuinfo") == "Abacus 3000, avx2, ATEN_CPU_CAPABILITY=default"
    assert describe_processor(tmp_path / "none").endswith("ATEN_CPU_CAPABILITY=default")
