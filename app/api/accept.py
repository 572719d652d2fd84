"""Which of two media types a caller prefers (RFC 9110, 12.5.1)."""

JSON = "application/json"


def prefers(kind: str, accept: str) -> bool:
    """True when `Accept` names this type with a weight of at least JSON's; `*/*` names nothing."""
    weight = {}
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weights = [parameter[2:] for parameter in parameters if parameter.startswith("q=")]
        try:
            weight[name] = float(weights[0]) if weights else 1.0
        except ValueError:
            weight[name] = 0.0
    return weight.get(kind, 0.0) > 0 and weight[kind] >= weight.get(JSON, 0.0)
