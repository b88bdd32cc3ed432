"""Great-circle distances."""

from math import asin, cos, radians, sin, sqrt

RADIUS_KM = 6371.0088


def distance_km(start: tuple[float, float], end: tuple[float, float]) -> float:
    """Between two points given as (latitude, longitude) in degrees, by the haversine formula."""
    (lat1, lon1), (lat2, lon2) = (tuple(map(radians, point)) for point in (start, end))
    part = sin((lat2 - lat1) / 2) ** 2 + cos(lat1) * cos(lat2) * sin((lon2 - lon1) / 2) ** 2
    return 2 * RADIUS_KM * asin(sqrt(min(1.0, part)))
