"""What must hold before the API is built: exit 0, or say what is wrong."""

from earth import distance_km

assert distance_km((0, 0), (0, 0)) == 0
assert abs(distance_km((0, 0), (0, 180)) - 20015.1) < 0.1, "half way round the earth"
assert abs(distance_km((48.8566, 2.3522), (51.5074, -0.1278)) - 343.6) < 1, "Paris to London"
print("3 checks passed")
