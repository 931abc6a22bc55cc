"""Whether the box's clock can be right: certificates that it dates wrongly are refused by clients.

Nothing tells a machine its true time but others. Two witnesses are at hand: the CA, which was made
here and not in the future, and the origin, which puts the time on its answers and shows a
certificate that is of today.
"""

# The certificates we issue begin two days before they are issued, and last for months.
SKEW_SECONDS_MAX = 24 * 3600


def why_untimely(
    now: float, *, not_before: float, origin_time: float | None, is_misdated: bool
) -> str:
    """Why the clock cannot be right, for people; "" where nothing speaks against it.

    `not_before` is the CA's, `origin_time` what the origin's clock says now, if it ever said;
    `is_misdated` tells that its certificate is not of today by our clock. All in seconds since the
    epoch.
    """
    if now < not_before:
        return "the clock is before this box's own CA was made: set it, as by NTP"
    if origin_time is not None:
        days = (now - origin_time) / 86400
        if abs(days) * 86400 > SKEW_SECONDS_MAX:
            word = "ahead of" if days > 0 else "behind"
            return f"the clock is {abs(days):.0f} days {word} the origin's: set it, as by NTP"
    elif is_misdated:
        return "the origin's certificate is not of today: is the clock right? set it, as by NTP"
    return ""
