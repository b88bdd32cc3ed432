"""Write data/train/wines.csv and data/test/wines.csv from the wine set inside scikit-learn."""

import csv
from pathlib import Path

from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split

bunch = load_wine()
names = [name.replace("od280/od315_of_diluted_wines", "od280_od315") for name in bunch.feature_names]
parts = train_test_split(bunch.data, bunch.target, test_size=0.3, random_state=7, stratify=bunch.target)
for part, measurements, growers in (("train", parts[0], parts[2]), ("test", parts[1], parts[3])):
    folder = Path(__file__).parent / part
    folder.mkdir(exist_ok=True)
    with (folder / "wines.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*names, "grower"])
        for row, grower in zip(measurements.tolist(), growers.tolist()):
            writer.writerow([*row, grower])
    print(f"{folder}: {len(growers)} wines")
