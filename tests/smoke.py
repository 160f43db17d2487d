"""Run by `make package` in an environment that holds nothing but the wheel and what it needs."""

import importlib.util
import sys
import tempfile

import numpy as np
import scipy.sparse as sp

import ferrec

for name in ("pandas", "pyarrow", "narwhals", "tensorflow", "sklearn"):
    assert importlib.util.find_spec(name) is None, f"{name} is installed: this environment is not empty"
x = sp.random_array((50, 30), density=0.2, rng=np.random.default_rng(0), dtype=np.float32, format="csr")
assert ferrec.kernels.top_k_similar(x, k=5).shape == (30, 30)
data = ferrec.Interactions.from_csr(x)
with tempfile.TemporaryDirectory() as folder:
    ferrec.ItemKNN(k=5).fit(data).save(f"{folder}/model")
    recs = ferrec.load(f"{folder}/model").recommend(n=3)
assert len(recs) == 50
try:
    ferrec.Interactions.from_parquet("events.parquet")
except ferrec.MissingExtraError as error:
    assert "ferrec[parquet]" in str(error)
else:
    raise AssertionError("Parquet was read without pyarrow")
print(
    f"ferrec {ferrec.__version__} works on Python {sys.version.split()[0]} with nothing but NumPy and SciPy"
)
