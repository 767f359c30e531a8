import numpy as np

from benchmarks.data import ImageArrays
from benchmarks.training.examples import gallery_arrays, gallery_queries


def data_of(classes: int, images_per_class: int) -> ImageArrays:
    labels = np.repeat(np.arange(classes), images_per_class)
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None].repeat(2, axis=1).repeat(2, axis=2)
    return ImageArrays("data", images, labels, [str(c) for c in range(classes)], None, [])


def test_queries_are_of_different_classes_while_there_are_enough() -> None:
    data = data_of(classes=60, images_per_class=4)
    test = np.flatnonzero(data.labels >= 30)
    queries = gallery_queries(data, test, fold=0)
    assert len(np.unique(data.labels[test[queries]])) == len(queries) == 24
    assert (queries == gallery_queries(data, test, fold=0)).all()
    assert (queries != gallery_queries(data, test, fold=1)).any()


def test_few_classes_give_several_queries_each_and_few_images_fewer_queries() -> None:
    data = data_of(classes=8, images_per_class=4)
    for test, expected in ((np.arange(32), 24), (np.arange(16, 32), 16)):
        queries = gallery_queries(data, test, fold=0)
        assert len(set(queries.tolist())) == expected


def test_arrays_show_the_rows_they_name() -> None:
    data = data_of(classes=8, images_per_class=4)
    test = np.arange(16, 32)
    arrays = gallery_arrays(data, test[[0, 5]], test, np.array([[1, 2, 3], [4, 6, 7]]))
    assert arrays["query"].tolist() == [16, 21]
    assert arrays["neighbor_label"].tolist() == [[4, 4, 4], [5, 5, 5]]
    assert (arrays["neighbor_image"][:, :, 0, 0, 0] == arrays["neighbors"]).all()
    assert (arrays["query_image"][:, 0, 0, 0] == arrays["query"]).all()
