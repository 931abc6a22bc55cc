"""Numbers for people: sizes, speeds, times left and times ago."""

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")
_STEPS = ((86_400, "day"), (3600, "hour"), (60, "minute"))


def format_size(size_bytes: float) -> str:
    """Bytes for people, in powers of ten as disks and lines are sold: `1.5 GB`."""
    for unit in _UNITS:
        if size_bytes < 1000 or unit == _UNITS[-1]:
            return f"{size_bytes:.0f} {unit}" if unit == "bytes" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    raise AssertionError("the last unit takes any size")


def format_left(seconds: int | None) -> str:
    """How long something still takes: `2 min 5 s`; "" where nobody can tell."""
    if seconds is None:
        return ""
    minutes, second = divmod(max(0, seconds), 60)
    hour, minute = divmod(minutes, 60)
    if hour:
        return f"{hour} h {minute} min"
    return f"{minute} min {second} s" if minute else f"{second} s"


def format_ago(seconds: float | None) -> str:
    """How long ago something was: `2 hours ago`; "never" for None."""
    if seconds is None:
        return "never"
    for step, unit in _STEPS:
        count = int(seconds // step)
        if count > 0:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def format_percent(ratio: float | None) -> str:
    """A part of a whole: `93 %`; a dash where there is no whole."""
    return "\u2013" if ratio is None else f"{ratio * 100:.0f} %"
