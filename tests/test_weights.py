"""Files of weights and of whole models: what comes back, and what is refused."""

import inspect
import json
import math
import os

import numpy as np
import pytest

import engine
import nn
from nn import files, loop, state
from tests import fuzz_weights


def net(units=4, dtype=None, **settings):
    engine.seed(1)
    model = nn.Sequential(
        [
            nn.Flatten(input_shape=(2, 3)),
            nn.Dense(units, activation="relu"),
            nn.Dense(2, activation="softmax"),
        ]
    )
    if dtype:
        model.ensure_built()
        model.astype(dtype)
    return model


@pytest.fixture
def digits(rng):
    return rng.normal(size=(40, 2, 3)).astype("float32"), rng.integers(0, 2, 40)


def compiled(**settings):
    model = net()
    settings = {
        "optimizer": nn.optimizers.Adam(learning_rate=0.01),
        "loss": "sparse_categorical_crossentropy",
        "metrics": ["accuracy"],
        **settings,
    }
    model.compile(**settings)
    return model


# --------------------------------------------------------------------------------- what comes back


def test_weights_come_back(tmp_path):
    path = tmp_path / "w.safetensors"
    model, other = net(), net()
    model.save_weights(path)
    for parameter in other.parameters():
        parameter.data[...] = 7
    other.load_weights(str(path))
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name], array)


def test_the_file_is_one_that_the_safetensors_library_reads(tmp_path):
    from safetensors.numpy import load_file

    model = net()
    model.save_weights(tmp_path / "w.safetensors")
    arrays = load_file(tmp_path / "w.safetensors")
    assert arrays.keys() == model.state_dict().keys()
    net().load_state_dict(arrays)


def test_a_whole_model_comes_back(tmp_path, digits):
    path = tmp_path / "model.safetensors"
    model = compiled()
    model.fit(*digits, epochs=2, verbose=0)
    model.save(path)
    engine.seed(5)
    before = engine.random.state()
    other = nn.load(path)
    assert engine.random.state() == before
    np.testing.assert_array_equal(other.predict(digits[0]), model.predict(digits[0]))
    assert other.evaluate(*digits) == model.evaluate(*digits)
    assert other.train_on_batch(*digits) == model.train_on_batch(*digits)
    assert other.train_on_batch(*digits) == model.train_on_batch(*digits)
    assert repr(other) == repr(model)
    assert nn.load(path, compile=False).loss is None
    weights = net()
    weights.load_weights(path)
    assert weights.predict(digits[0]).shape == (40, 2)


def test_notes_come_back_and_are_checked(tmp_path):
    model = net()
    model.notes = {"classes": ["a", "b"], "mean": np.array([1.5, 2.5]), "share": 0.25}
    model.save(tmp_path / "m")
    notes = nn.load(tmp_path / "m").notes
    assert notes.pop("mean").tolist() == [1.5, 2.5]
    assert notes == {"classes": ["a", "b"], "share": 0.25}
    model.notes = {"classes": {1, 2}}
    with pytest.raises(TypeError, match=r"notes\.classes: expected numbers, .* got set"):
        model.save(tmp_path / "m")
    assert nn.load(tmp_path / "m").notes["classes"] == ["a", "b"]


def test_equal_trainings_give_equal_files(tmp_path, digits):
    for name in "ab":
        model = compiled()
        model.fit(*digits, epochs=2, verbose=0)
        model.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_float64_and_frozen_layers_come_back(tmp_path, digits):
    model = net(dtype="float64")
    model.layers[1].trainable = False
    model.save(tmp_path / "m")
    other = nn.load(tmp_path / "m")
    assert other.layers[1].kernel.dtype == np.float64
    assert [layer.trainable for layer in other.layers] == [True, False, True]
    assert len(other.trainable_parameters()) == 2
    x = digits[0].astype("float64")
    np.testing.assert_array_equal(other.predict(x), model.predict(x))


# -------------------------------------------------------------------------------- what is refused


def test_what_does_not_fit_is_told_with_every_difference(tmp_path):
    path = tmp_path / "w"
    net(5).save_weights(path)
    model = net()
    before = model.state_dict()
    with pytest.raises(ValueError) as caught:
        model.load_weights(path)
    assert str(caught.value).endswith(
        "does not fit the model: layers.1.bias has shape (5,), expected (4,); layers.1.kernel has "
        "shape (6, 5), expected (6, 4); layers.2.kernel has shape (5, 2), expected (4, 2)"
    )
    net(dtype="float64").save_weights(path)
    with pytest.raises(ValueError, match=r"layers.1.bias has dtype float64, expected float32; "):
        model.load_weights(path)
    nn.Sequential([nn.Dense(2, input_shape=(3,))]).save_weights(path)
    with pytest.raises(ValueError, match=r"missing layers.1.bias.*unexpected layers.0.bias"):
        model.load_weights(path)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(before[name], array)


def test_parts_that_do_not_fit_each_other_are_told(tmp_path, digits):
    path = tmp_path / "m"
    model = compiled()
    model.fit(*digits, verbose=0)
    model.save(path)
    arrays, about = files.read(path)
    del about["sha256"]
    del arrays["model.layers.1.bias"]
    slot = next(name for name in arrays if name.startswith("optimizer."))
    del arrays[slot]
    arrays["more"] = np.zeros(3)
    files.write(path, arrays, about)
    with pytest.raises(ValueError) as caught:
        nn.load(path)
    for part in ("missing layers.1.bias", f"missing {slot}", "unexpected more"):
        assert part in str(caught.value)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "w"
    model = net()
    model.save_weights(path)
    with pytest.raises(ValueError, match=r"holds 'hotgrad weights 1'.*model.load_weights\(path\)"):
        nn.load(path)
    files.write(path, {}, {"format": "else"})
    with pytest.raises(ValueError, match="holds 'else', expected 'hotgrad weights 1'"):
        model.load_weights(path)
    from safetensors.numpy import save_file

    save_file(model.state_dict(), path)
    with pytest.raises(ValueError, match=r"no checksum. .*load_state_dict\(safetensors.numpy.load"):
        model.load_weights(path)
    with pytest.raises(FileNotFoundError):
        nn.load(tmp_path / "nothing")
    with pytest.raises(ValueError, match="does not know its input shape yet"):
        nn.Sequential([nn.Dense(3)]).save_weights(path)


# ---------------------------------------------------------------------------- written or not at all


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "w"
    model = net()
    model.save_weights(path)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        net(5).save_weights(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["w"]


def test_what_killed_writers_left_is_removed_and_what_is_in_use_stays(tmp_path):
    path = tmp_path / "w"
    left = tmp_path / f".w.{'a' * 16}.tmp"
    left.write_bytes(b"half")
    mine = tmp_path / f".w.{'a' * 16}.tmp.mine"
    mine.write_bytes(b"")
    used, file = files._new_beside(str(path))
    with file:
        net().save_weights(path)
        assert sorted(os.listdir(tmp_path)) == sorted([os.path.basename(used), mine.name, "w"])
    net().save_weights(path)
    assert sorted(os.listdir(tmp_path)) == [mine.name, "w"]


def test_file_mode_follows_the_umask(tmp_path):
    net().save_weights(tmp_path / "w")
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "w").stat().st_mode & 0o777 == 0o666 & ~umask


# ------------------------------------------------------------------------------------ JSON and back


def test_json_of_a_model(digits):
    model = compiled()
    text = model.to_json()
    config = json.loads(text)
    assert config["class"] == "Sequential"
    assert config["config"]["layers"][1]["class"] == "Dense"
    assert config["config"]["layers"][1]["config"]["activation"] == {"function": "relu"}
    other = nn.from_json(text)
    assert repr(other) == repr(model)
    assert nn.to_json(other) == text


NEEDED = {  # by constructors that have parameters without defaults
    "activation": "relu",
    "boundaries": [2, 5],
    "decay_rate": 0.5,
    "decay_steps": 10,
    "dims": (2, 1),
    "first_decay_steps": 10,
    "function": nn.activations.linear,
    "initial_learning_rate": 0.2,
    "input_dim": 3,
    "layers": [nn.Dense(2)],
    "learning_rate": 0.1,
    "max_learning_rate": 0.5,
    "num_classes": 3,
    "output_dim": 2,
    "rate": 0.25,
    "scale": 2.0,
    "stddev": 0.5,
    "target_shape": (2, 3),
    "total_steps": 20,
    "units": 4,
    "values": [0.3, 0.2, 0.1],
}
BASES = ("Layer", "Loss", "Metric", "Initializer", "Regularizer", "Optimizer")
BASES = (*BASES, "LearningRateSchedule")


@pytest.mark.parametrize(
    "name", [n for n, c in nn.config.known().items() if isinstance(c, type) and n not in BASES]
)
def test_everything_that_can_be_set_comes_back(name):
    made = nn.config.known()[name]
    parameters = inspect.signature(made).parameters.values()
    given = {p.name: NEEDED[p.name] for p in parameters if p.default is p.empty and p.kind == 1}
    obj = made(**given)
    config = json.loads(nn.to_json(obj))
    other = nn.from_config(config)
    assert type(other) is made
    assert nn.to_config(other) == config
    for key, value in given.items():
        if not callable(value) and key not in ("activation", "layers"):
            assert getattr(other, key) == value or tuple(getattr(other, key)) == value


def test_names_that_several_places_have_are_told_apart():
    for module in (nn.losses, nn.metrics):
        obj = nn.from_config(nn.to_config(module.MeanSquaredError()))
        assert type(obj) is module.MeanSquaredError


def shifted(x):
    return x + 1


class Scale(nn.Layer):
    def __init__(self, factor, **more):
        super().__init__(**more)
        self.factor = factor

    def forward(self, x):
        return x * self.factor


class Twice(nn.Model):
    """The same layer two times, so that its weights are tied."""

    def __init__(self, inner, act):
        self.inner, self.again, self.act = inner, inner, act

    def forward(self, x):
        return self.act(self.again(self.inner(x)))


def test_classes_and_functions_of_ones_own(tmp_path, digits):
    model = nn.Sequential([nn.Dense(3, shifted, input_shape=(3,)), Scale(2.0, name="mine")])
    model.save(tmp_path / "m")
    with pytest.raises(ValueError) as caught:
        nn.load(tmp_path / "m")
    assert (
        "no 'Scale', 'shifted' in hotgrad: give your own as "
        "custom_objects={'Scale': Scale, 'shifted': shifted}" in str(caught.value)
    )
    other = nn.load(tmp_path / "m", {"Scale": Scale, "shifted": shifted})
    x = digits[0][:, 0]
    np.testing.assert_array_equal(other.predict(x), model.predict(x))
    assert other.layers[1].name == "mine"


def test_a_module_that_is_met_twice_stays_one(tmp_path, digits):
    model = Twice(nn.Dense(3, input_shape=(3,)), shifted)
    model.save(tmp_path / "m")
    other = nn.load(tmp_path / "m", {"Twice": Twice, "shifted": shifted})
    assert other.inner is other.again
    np.testing.assert_array_equal(other.predict(digits[0][:, 0]), model.predict(digits[0][:, 0]))


class Residual(nn.Model):
    """Layers that learn the shape of their input from the first one."""

    def __init__(self, units):
        self.units = units
        self.first, self.second = nn.Dense(units, activation="tanh"), nn.Dense(units)

    def forward(self, x):
        hidden = self.first(x)
        return hidden + self.second(hidden)


def test_layers_that_learnt_their_shape_come_back(tmp_path, digits):
    x = digits[0][:, 0]
    model = Residual(4)
    model.compile("sgd", "mse")
    model.fit(x, x[:, :1] * np.ones(4, "float32"), verbose=0)
    model.save(tmp_path / "m")
    other = nn.load(tmp_path / "m", {"Residual": Residual})
    np.testing.assert_array_equal(other.predict(x), model.predict(x))


def test_own_names_do_not_hide_ours():
    def relu(x):
        return x * 0

    layer = nn.Dense(2, relu, input_shape=(2,))
    config = nn.to_config(layer)
    with pytest.raises(ValueError, match="no 'relu' in hotgrad"):
        nn.from_config(config)
    assert nn.from_config(config, {"relu": relu}).activation is relu
    ours = nn.from_config(nn.to_config(nn.Dense(2, "relu", input_shape=(2,))), {"relu": relu})
    assert ours.activation is engine.relu


class NoAttribute(nn.Layer):
    def __init__(self, size):
        super().__init__()


class Inside(nn.Module):
    def __init__(self, it=None):
        self.it = self


class Many(nn.Module):
    def __init__(self, *parts):
        self.parts = parts


@pytest.mark.parametrize(
    "obj, message",
    [
        (nn.Dense(1, lambda x: x), "Dense.activation: a file holds a function by its name, and a "),
        (NoAttribute(3), "takes size, and there is no attribute of that name: write self.size"),
        (Inside(), "Inside.it: the Inside is within itself"),
        (Many(1), r"Many takes \*arguments: define get_config"),
        (nn.Dense, "can not be written as JSON"),
        (Scale(engine.zeros((2,))), "Scale.factor: .* can not be written as JSON"),
        (Scale({(1, 2): 3}), "Scale.factor: .* can not be written as JSON"),
    ],
)
def test_what_json_can_not_hold_is_refused(obj, message):
    with pytest.raises(TypeError, match=message):
        nn.to_config(obj)


@pytest.mark.parametrize(
    "config, message",
    [
        ({"class": "os.system", "config": {}}, "no 'os.system' in hotgrad"),
        ({"class": "relu", "config": {}}, "no 'relu' in hotgrad"),
        ({"class": ["Dense"], "config": {}}, "no .* in hotgrad"),
        ({"function": "eval"}, "no 'eval' in hotgrad"),
        ({"class": "Dense"}, "configuration can not be made into an object: 'config'"),
        ({"class": "Dense", "config": {"unitz": 3}}, "can not be made into an object: .*'unitz'"),
        ({"class": "Dense", "config": {"units": -3}}, "units to be an integer of at least 1"),
        ({"class": "Dense", "config": [3]}, "can not be made into an object"),
        ({"same": 3}, "can not be made into an object"),
        ({"else": 3}, "the configuration holds {'else': 3}, which nothing is made from"),
        ({"array": [[1], []], "dtype": "float32"}, "inhomogeneous"),
    ],
)
def test_json_that_makes_nothing_is_refused(config, message):
    with pytest.raises(ValueError, match=message):
        nn.from_config(config)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, ""])
def test_text_that_is_no_json_is_refused(text):
    with pytest.raises(ValueError, match="from_json: expected JSON"):
        nn.from_json(text)


def test_configs_hold_arrays_and_dicts():
    layer = nn.from_config(nn.to_config(Scale(np.arange(3.0))), {"Scale": Scale})
    np.testing.assert_array_equal(layer.factor, [0, 1, 2])
    assert nn.from_config(nn.to_config(Scale({1: "a"})), {"Scale": Scale}).factor == {1: "a"}


# ------------------------------------------------------------------------- what each refusal says


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A whole model's file as bytes, and its header."""
    content = fuzz_weights.model_file(str(tmp_path_factory.mktemp("saved") / "m"))
    return content, json.loads(content[8 : fuzz_weights.header_end(content)])


def with_about(content, header, change):
    about = json.loads(header["__metadata__"]["hotgrad"])
    change(about)
    return {**header, "__metadata__": {"hotgrad": json.dumps(about, separators=(",", ":"))}}


FIRST = "model.layers.0.bias"


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda c, h: {**h, FIRST: h[FIRST] | {"dtype": "BF16"}}, "has an unknown dtype, 'BF16'"),
        (lambda c, h: {**h, FIRST: h[FIRST] | {"shape": [5]}}, "is damaged: "),
        (lambda c, h: {**h, "deep": json.loads("[" * 80 + "]" * 80)}, "nested deeper than 64"),
        (lambda c, h: {**h, "__metadata__": {"other": fuzz_sealed()}}, "no metadata 'hotgrad'"),
        (lambda c, h: [h], "expected the header to be a JSON object"),
        (
            lambda c, h: with_about(c, h, lambda a: a.update(model=3)),
            "there is no model to be made from its header",
        ),
        (
            lambda c, h: with_about(
                c, h, lambda a: a["model"]["config"]["layers"][0]["config"].update(units=10**9)
            ),
            r"dense: kernel of shape \(3, 1000000000\) is more than what there is to load",
        ),
        (lambda c, h: with_about(c, h, lambda a: a.update(tied=[1])), "expected tied to be a dict"),
        (
            lambda c, h: with_about(c, h, lambda a: a.update(tied={"layers.0.bias": ["b"]})),
            "expected tied to be a dict from path to path, got {'layers.0.bias': \\['b'\\]}",
        ),
        (
            lambda c, h: with_about(c, h, lambda a: a.update(tied={"layers.0.units": "layers.0"})),
            "does not fit the model: layers.0.units is tied to layers.0, and not both are there",
        ),
        (
            lambda c, h: with_about(
                c, h, lambda a: a.update(tied={"layers.0.kernel": "layers.0.bias"})
            ),
            r"layers.0.kernel has shape .*, and is tied to layers.0.bias of shape",
        ),
    ],
)
def test_what_is_wrong_with_a_header_is_told(tmp_path, saved, change, message):
    content, header = saved
    text = json.dumps(change(content, header), separators=(",", ":")).encode()
    path = tmp_path / "m"
    path.write_bytes(fuzz_weights.sealed(fuzz_weights.with_header(content, text)))
    with pytest.raises(ValueError, match=message):
        nn.load(path)


def fuzz_sealed():
    """Text in which a checksum has its place."""
    return json.dumps({"sha256": files.NO_DIGEST}, separators=(",", ":"))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda c: c[:5], "is damaged or no safetensors file: it says that its header is of "),
        (lambda c: b"\xff" * 8 + c[8:], "header is of 18,446,744,073,709,551,615 bytes, and it"),
        (lambda c: c[:-1], "is damaged: its content is not what its checksum tells"),
        (lambda c: fuzz_weights.flipped(c, len(c) - 1, 0), "is not what its checksum tells"),
        (
            lambda c: fuzz_weights.sealed(
                fuzz_weights.with_header(c, c[8 : fuzz_weights.header_end(c)].rstrip()[:-1])
            ),
            "the header can not be read",
        ),
        (
            lambda c: fuzz_weights.sealed(
                fuzz_weights.with_header(
                    c, c[8 : fuzz_weights.header_end(c)].rstrip()[:-1] + b',"a":1,"a":2}'
                )
            ),
            "the header can not be read: it has several 'a'",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path, saved, change, message):
    path = tmp_path / "m"
    path.write_bytes(change(saved[0]))
    with pytest.raises(ValueError, match=message):
        nn.load(path)


def test_limits_of_a_header(tmp_path, saved, monkeypatch):
    path = tmp_path / "m"
    path.write_bytes(saved[0])
    monkeypatch.setattr(files, "MAX_ITEMS", 10)
    with pytest.raises(ValueError, match="the header has more than 10 items"):
        nn.load(path)
    monkeypatch.setattr(files, "MAX_HEADER", 100)
    with pytest.raises(ValueError, match="the header is longer than 100 bytes"):
        nn.load(path)
    with pytest.raises(ValueError, match="the header would be longer than 100 bytes"):
        net().save_weights(path)
    assert path.read_bytes() == saved[0]


def test_a_header_that_asks_for_too_much_memory_is_an_error(tmp_path):
    class Greedy(nn.Layer):
        def __init__(self):
            super().__init__()
            raise MemoryError

    path = tmp_path / "m"
    config = {"class": "Greedy", "config": {}, "own": True}
    files.write(path, {}, {"format": "hotgrad model 1", "model": config, "inputs": {}})
    with pytest.raises(ValueError, match="asks for more memory than there is"):
        nn.load(path, {"Greedy": Greedy})


def test_state_of_callbacks_that_can_not_be_saved_is_named(tmp_path, digits):
    class Bad(nn.Callback):
        def state_dict(self):
            return {"handle": object()}

    model = compiled()
    model.fit(*digits, verbose=0, callbacks=Bad())
    message = r"training.callbacks.0.state.handle: expected numbers, strings and arrays, got object"
    with pytest.raises(TypeError, match=message):
        model.save(tmp_path / "m")
    assert os.listdir(tmp_path) == []


def test_state_of_another_form_is_an_error():
    with pytest.raises(ValueError, match=r"expected the state of a training, got {'epoch': 3}"):
        loop.Stood({"epoch": 3})
    for packed in ({"else": 3}, {"dict": 3}, {"tensor": "missing"}, {"tuple": 3}):
        with pytest.raises(ValueError, match=r"the saved state holds \{.*, which is no state"):
            state.unpack(packed, {})


def test_state_comes_back():
    value = {"a": [1, 2.5, None, "b", True], 3: (np.arange(3), [np.float32(2)]), "n": math.inf}
    arrays = {}
    packed = json.loads(json.dumps(state.pack(value, "s", arrays)))
    other = state.unpack(packed, arrays)
    np.testing.assert_array_equal(other.pop(3)[0], value.pop(3)[0])
    assert other == value
    assert list(arrays) == ["s.3.0"]
    assert state.names_in(packed) == {"s.3.0"}


def test_state_that_can_not_be_used_is_an_error(digits):
    model = compiled()
    model.fit(*digits, verbose=0)
    model.training_state.state()["random"] = {"bit_generator": "none"}
    with pytest.raises(ValueError, match="fit: what the training stood at can not be used: "):
        model.fit(*digits, verbose=0, epochs=2, resume=True)
