"""Ray and Spark on this machine: the same rows as `score_table` gives here."""

import os
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import ferrec
from ferrec.distributed._worker import Job, _opened
from ferrec.models.scoring import ScoringOptions
from ferrec.testing._checks import sample

pyarrow = pytest.importorskip("pyarrow")

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("cluster")
    ferrec.ItemKNN(k=10).fit(sample(text=True)).save(path / "model")
    return path


@pytest.fixture(scope="module")
def model(folder):
    return ferrec.load(folder / "model")


@pytest.fixture(scope="module")
def users(model):
    order = np.random.default_rng(0).integers(0, len(model.users), 3000)
    return pyarrow.table({"user_id": list(model.users.values[order]), "other": order})


@pytest.fixture(scope="module")
def baskets(model):
    rng = np.random.default_rng(1)
    items = model.items.values
    lists = [list(items[rng.integers(0, len(items), rng.integers(1, 6))]) for _ in range(50)]
    return pyarrow.table({"who": range(50), "basket": lists})


def rows(table):
    return sorted(tuple(row.values()) for row in table.to_pylist())


# ---------------------------------------------------------------- without a cluster


def test_a_model_is_opened_once_and_must_stay_the_same(folder, model, users, tmp_path):
    shutil.copytree(folder / "model", tmp_path / "model")
    job = Job.of(tmp_path / "model", ScoringOptions(n=4))
    assert job.open() is job.open()
    assert job.score(users).equals(ferrec.score_table(model, users, n=4))
    ferrec.Popularity().fit(sample(text=True)).save(tmp_path / "model")
    assert job.score(users).equals(ferrec.score_table(model, users, n=4))  # it has the old one open
    _opened.cache_clear()
    with pytest.raises(ferrec.ModelFileError, match="is another model than when the job began"):
        job.score(users)
    assert Job.of(tmp_path / "model", ScoringOptions()).open() is not job


# ---------------------------------------------------------------- Ray


@pytest.fixture(scope="module")
def ray():
    ray = pytest.importorskip("ray", reason='needs pip install "ferrec[ray]"')
    pytest.importorskip("ray.data")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield ray
    ray.shutdown()


@pytest.mark.cluster
@pytest.mark.filterwarnings("ignore")
def test_ray_gives_the_same_rows(ray, folder, model, users, baskets):
    from ferrec.distributed.ray import score

    found = score(ray.data.from_arrow(users), folder / "model", n=4, workers=2, batch_size=500)
    assert rows(gathered(found)) == rows(ferrec.score_table(model, users, n=4))
    options = {
        "user": "who",
        "item": "what",
        "history": "basket",
        "n": 3,
        "exclude_items": model.items.values[:3],
    }
    found = score(ray.data.from_arrow(baskets), folder / "model", **options)
    assert rows(gathered(found)) == rows(ferrec.score_table(model, baskets, **options))


@pytest.mark.cluster
@linux
@pytest.mark.filterwarnings("ignore")
def test_ray_survives_the_death_of_a_worker(ray, folder, model, users):
    from ferrec.distributed.ray import score

    def slowly(table):
        time.sleep(0.05)
        return table

    source = ray.data.from_arrow(users).repartition(60).map_batches(slowly, batch_format="pyarrow")
    blocks = iter(
        score(source, folder / "model", n=4, batch_size=50).iter_batches(
            batch_size=None, batch_format="pyarrow"
        )
    )
    found = [next(blocks)]
    victims = actors()
    assert victims, "no worker was found"
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    found += blocks
    assert not set(victims) & set(actors())
    assert rows(pyarrow.concat_tables(found)) == rows(ferrec.score_table(model, users, n=4))


def gathered(dataset):
    return pyarrow.concat_tables(dataset.iter_batches(batch_size=None, batch_format="pyarrow"))


def actors():
    """The processes of this machine's Ray that score, by the names that Ray gives them."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            title = (process / "cmdline").read_bytes() if process.name.isdigit() else b""
        except OSError:
            continue
        if title.startswith(b"ray::") and b"Scorer" in title:
            found.append(int(process.name))
    return found


# ---------------------------------------------------------------- Spark


@pytest.fixture(scope="module")
def spark(tmp_path_factory):
    sql = pytest.importorskip("pyspark.sql", reason='needs pip install "ferrec[spark]"')
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("Spark needs Java, and there is none")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        sql.SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.local.dir", str(tmp_path_factory.mktemp("spark")))
        .getOrCreate()
    )
    yield session
    session.stop()


@pytest.mark.cluster
@pytest.mark.filterwarnings("ignore")
def test_spark_gives_the_same_rows(spark, folder, model, users, baskets):
    from ferrec.distributed.spark import score

    frame = spark.createDataFrame(users.to_pandas()).repartition(4)
    found = score(frame, folder / "model", n=4)
    assert found.dtypes == [("user_id", "string"), ("item_id", "string"), ("score", "float"), ("rank", "int")]
    assert sorted(map(tuple, found.collect())) == rows(ferrec.score_table(model, users, n=4))
    options = {
        "user": "who",
        "item": "what",
        "history": "basket",
        "n": 3,
        "exclude_items": model.items.values[:3],
    }
    frame = spark.createDataFrame(baskets.to_pylist())
    found = score(frame, folder / "model", **options)
    assert found.dtypes[0] == ("who", "bigint")
    assert sorted(map(tuple, found.collect())) == rows(ferrec.score_table(model, baskets, **options))
    with pytest.raises(
        ferrec.DataError, match="'user_id': is not in the frame; its columns are 'basket', 'who'"
    ):
        score(frame, folder / "model", history="basket")
