"""Log files are limited in size, however much is written, and while a process still writes."""

from pathlib import Path

from app.cli.logs import rotate


def test_a_full_log_moves_on_and_the_oldest_goes(tmp_path: Path) -> None:
    """The writer keeps its open file and continues at its beginning; this many old files are kept, private."""
    log = tmp_path / "api.log"
    with log.open("ab", buffering=0) as writer:
        for number in range(6):
            writer.write(b"%d" % number * 11)
            rotate(log, most=10, kept=3)
            writer.write(b"ab")
    assert log.read_bytes() == b"ab"
    assert {path.name: path.read_bytes()[-2:] for path in tmp_path.iterdir()} == {
        "api.log": b"ab",
        "api.log.1": b"55",
        "api.log.2": b"44",
        "api.log.3": b"33",
    }
    assert (tmp_path / "api.log.1").stat().st_mode & 0o077 == 0


def test_a_flood_keeps_its_end_and_a_short_log_stays(tmp_path: Path) -> None:
    """Of what was written between two checks the last bytes are kept; below the limit nothing happens."""
    log = tmp_path / "api.log"
    rotate(log, most=10)
    log.write_bytes(b"0123456789")
    rotate(log, most=10)
    assert [path.name for path in tmp_path.iterdir()] == ["api.log"]
    log.write_bytes(b"x" * 100_000 + b"0123456789")
    rotate(log, most=10)
    assert (log.read_bytes(), (tmp_path / "api.log.1").read_bytes()) == (b"", b"0123456789")
