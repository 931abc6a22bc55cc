"""Who pulls what, as JSON: keys that ollama-lancache's scripts know, and ours after them."""

from typing import Any

from appliance.cache.session import Session
from appliance.cache.sessions import Sessions
from appliance.protocol.reference import NAMESPACE_DEFAULT
from appliance.web.models import format_instant

UNNAMED = "a machine"  # A client, where the operator wants no addresses shown.


def describe_sessions(sessions: Sessions, *, now: float, names_clients: bool) -> dict[str, Any]:
    """`/api/sessions`. What is over is among `recent_sessions` for some minutes."""

    def described(them: list[Session]) -> list[dict[str, Any]]:
        return [describe_session(each, now=now, names_clients=names_clients) for each in them]

    active = described(sessions.active)
    return {
        "active_sessions": active,
        "total_sessions": len(active),
        "recent_sessions": described(sessions.recent),
        "sessions_since_start": sessions.count,
    }


def describe_session(session: Session, *, now: float, names_clients: bool) -> dict[str, Any]:
    """One session; a box that names no clients calls each one UNNAMED."""
    ended = session.ended
    seconds = now - session.started_at if ended is None else ended - session.began
    return {
        "id": session.number,
        "client_ip": session.client_address if names_clients else UNNAMED,
        "model": name_model(session),
        "start_time": format_instant(session.started_at),
        "duration": format_duration(seconds),
        "duration_seconds": round(max(0.0, seconds), 1),
        "bytes_served": session.sent_bytes,
        "files_served": session.files_served,
        "total_files": session.files_total,
        "progress_percent": round(session.progress * 100, 1),
        "total_bytes": session.total_bytes,
        "speed_bps": round(session.bytes_per_second),
        "eta_seconds": session.eta_seconds,
        "source": session.supply.word,
        "state": session.state.value,
    }


def name_model(session: Session) -> str:
    """The model with its tag, `tiny:latest`; without one where the client never said it."""
    repository, reference = session.repository, session.reference
    is_library = repository.namespace == NAMESPACE_DEFAULT
    name = repository.model if is_library else str(repository)
    if reference is None:
        return name
    return f"{name}:{reference.tag}" if reference.tag else f"{name}@{reference.target}"


def format_duration(seconds: float) -> str:
    """As Go writes durations, in whole seconds: `1h2m3s`."""
    minutes, second = divmod(max(0, round(seconds)), 60)
    hour, minute = divmod(minutes, 60)
    hours = f"{hour}h" if hour else ""
    return f"{hours}{minute}m{second}s" if minutes else f"{second}s"
