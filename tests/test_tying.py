"""Tied weights stay one Tensor through every file, and train on as if they had not been in one."""

import numpy as np
import pytest

import engine
import nn


class Tagger(nn.Model):
    """An embedding whose Tensor is the kernel of the outputs as well, under a name of its own."""

    def __init__(self, words, width):
        self.words, self.width = words, width
        self.embedding = nn.Embedding(words, width, input_shape=(1,))
        self.hidden = nn.Dense(width, activation="tanh")
        self.embedding.ensure_built()
        self.read = self.embedding.embeddings

    def forward(self, x):
        hidden = self.hidden(self.embedding(x)[:, 0])
        return engine.softmax(engine.matmul(hidden, self.read.T))

    def last_activation(self):
        return "softmax"


class Kept(nn.Model):
    """Tensors in a list and a dict, one of them twice."""

    def __init__(self):
        self.parts = [nn.Dense(3, input_shape=(3,)), nn.Dense(3, input_shape=(3,))]
        self.more = {}

    def forward(self, x):
        return self.parts[1](self.parts[0](x)) + self.more["bias"] + self.more["other"][0]


def two_kernels(learns_its_shape=False):
    """Two layers that share a kernel, with a layer between them, and biases of their own."""
    first, between, second = (nn.Dense(4, activation="tanh") for _ in range(3))
    if not learns_its_shape:
        first.input_shape = (4,)
    model = nn.Sequential([first, between, nn.Sequential([second]), nn.Dense(3, "softmax")])
    model.ensure_built((4,))
    second.kernel = first.kernel
    return model


def one_layer_twice():
    layer = nn.Dense(4, activation="tanh", input_shape=(4,))
    return nn.Sequential(
        [layer, nn.Dense(4, activation="relu"), layer, nn.Dense(3, activation="softmax")]
    )


def tagger():
    model = Tagger(3, 4)
    model.ensure_built((1,))
    return model


def kept():
    model = Kept()
    first = model.parts[0]
    first.ensure_built()
    model.more = {"bias": first.bias, "other": [first.bias]}
    return model


MODELS = {
    "two kernels": (two_kernels, ("layers.0.kernel", "layers.2.layers.0.kernel")),
    "shapes that are learnt": (
        lambda: two_kernels(True),
        ("layers.0.kernel", "layers.2.layers.0.kernel"),
    ),
    "one layer twice": (one_layer_twice, ("layers.0.kernel", "layers.2.kernel")),
    "an embedding": (tagger, ("embedding.embeddings", "read")),
}
OWN = {"Tagger": Tagger, "Kept": Kept}


def made(name):
    engine.seed(4)
    make, places = MODELS[name]
    model = make()
    model.compile(nn.optimizers.Adam(learning_rate=0.05), "sparse_categorical_crossentropy")
    return model, places


def data_for(name, rng):
    y = rng.integers(0, 3, 60)
    return (y[:, None] if name == "an embedding" else rng.normal(size=(60, 4)).astype("f4")), y


def at(model, path):
    value = model
    for part in path.split("."):
        value = value[int(part)] if isinstance(value, list) else getattr(value, part)
    return value


def is_tied(model, places):
    assert at(model, places[0]) is at(model, places[1])
    assert list(model.state_dict()).count(places[0]) == 1
    assert places[1] not in model.state_dict()
    return True


@pytest.mark.parametrize("name", MODELS)
def test_a_training_goes_on_from_a_file(tmp_path, rng, name):
    data = data_for(name, rng)
    whole, places = made(name)
    whole.fit(*data, epochs=4, verbose=0)
    assert is_tied(whole, places)

    model, _ = made(name)
    model.fit(*data, epochs=2, verbose=0)
    model.save(tmp_path / "m")
    other = nn.load(tmp_path / "m", OWN)
    assert is_tied(other, places)
    assert len(other.optimizer.parameters or other.parameters()) == len(whole.parameters())
    other.fit(*data, epochs=4, verbose=0, resume=True)
    assert is_tied(other, places)
    for path, array in whole.state_dict().items():
        assert array.tobytes() == other.state_dict()[path].tobytes(), path


@pytest.mark.parametrize("name", MODELS)
def test_weights_alone_are_loaded_into_a_model_that_is_tied(tmp_path, rng, name):
    x, y = data_for(name, rng)
    model, places = made(name)
    model.fit(x, y, verbose=0)
    model.save_weights(tmp_path / "w")
    other, _ = made(name)
    other.load_weights(tmp_path / "w")
    assert is_tied(other, places)
    assert other.predict(x).tobytes() == model.predict(x).tobytes()
    whole = tmp_path / "m"
    model.save(whole)
    other, _ = made(name)
    other.load_weights(whole)
    assert other.predict(x).tobytes() == model.predict(x).tobytes()


def test_places_in_lists_and_dicts_are_tied(tmp_path, rng):
    model = kept()
    model.save(tmp_path / "m")
    with pytest.raises(ValueError, match=r"more\.bias is tied to parts\.0\.bias, and not "):
        nn.load(tmp_path / "m", OWN)  # its constructor does not put them there

    class Whole(Kept):
        def __init__(self):
            super().__init__()
            zeros = [engine.zeros(3, requires_grad=True) for _ in range(2)]
            self.more = {"bias": zeros[0], "other": [zeros[1]]}

    other = nn.load(tmp_path / "m", {"Kept": Whole})
    bias = other.parts[0].bias
    assert bias is other.more["bias"] is other.more["other"][0]
    x = rng.normal(size=(5, 3)).astype("f4")
    assert other.predict(x).tobytes() == model.predict(x).tobytes()


def test_a_model_that_is_not_tied_is_told(tmp_path):
    model, _ = made("two kernels")
    model.save_weights(tmp_path / "w")
    other = nn.Sequential(
        [nn.Dense(4, input_shape=(4,)), nn.Dense(4), nn.Sequential([nn.Dense(4)]), nn.Dense(3)]
    )
    message = (
        "layers.2.layers.0.kernel is one Tensor with layers.0.kernel in the file: tie them before"
    )
    with pytest.raises(ValueError, match=message):
        other.load_weights(tmp_path / "w")


def test_frozen_and_float64(tmp_path, rng):
    model, places = made("two kernels")
    model.layers[2].trainable = False
    model.astype("float64")
    model.save(tmp_path / "m")
    other = nn.load(tmp_path / "m")
    assert is_tied(other, places)
    assert at(other, places[0]).dtype == np.float64
    names = [
        [name for name, tensor in each.named_tensors() if tensor.requires_grad]
        for each in (model, other)
    ]
    assert names[0] == names[1]
    assert places[0] not in names[0]


def test_a_great_tied_weight_is_made_once(tmp_path, monkeypatch):
    monkeypatch.setattr("nn.weights.SPARE", 0)  # the file's own size is all the room there is
    model, places = made("two kernels")
    model.save(tmp_path / "m")
    assert is_tied(nn.load(tmp_path / "m"), places)


def test_the_summary_counts_a_tied_weight_once():
    model, _ = made("two kernels")
    lines = []
    model.summary(print_fn=lines.append)
    # 2 kernels of 16, 3 biases of 4, and 12 + 3 of the outputs
    assert any(line.startswith("trainable: 59 parameters") for line in lines)
    assert "* shared with a layer above, and counted there" in lines
