"""The table of a model: shapes, counts, FLOPs by hand, what is shared, frozen or nested."""

import numpy as np
import pytest

import nn


def lines_of(model, *shape):
    lines = []
    model.summary(*shape, print_fn=lines.append)
    return lines


def cells(line):
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


class Residual(nn.Module):
    def __init__(self):
        self.inner = nn.Dense(8, activation="relu")
        self.join = nn.Add()

    def forward(self, x):
        return self.join([x, self.inner(x)])


def test_the_table_of_a_sequential_model():
    shared = nn.Dense(8, name="twice")
    model = nn.Sequential(
        [
            nn.Flatten(input_shape=(4, 3)),
            nn.Dense(8, activation="relu"),
            nn.BatchNormalization(),
            shared,
            nn.Sequential([nn.Dense(8, use_bias=False), nn.Dropout(0.5)]),
            shared,
            Residual(),
            nn.Dense(2, activation="softmax"),
        ]
    )
    model.layers[1].trainable = False
    lines = lines_of(model)
    assert [cells(line) for line in lines] == [
        ["layer (type)", "output shape", "parameters", "trainable", "memory", "FLOPs"],
        ["flatten (Flatten)", "(None, 12)", "0", "48 B", "0"],
        ["dense (Dense)", "(None, 8)", "104", "no", "32 B", "208"],  # 8 * (2 * 12 + 2)
        ["batch_normalization (BatchNormaliza…", "(None, 8)", "32", "in part", "32 B", "32"],
        ["twice (Dense)", "(None, 8)", "72", "yes", "32 B", "136"],
        ["sequential (Sequential)", "(None, 8)"],
        ["dense (Dense)", "(None, 8)", "64", "yes", "32 B", "128"],
        ["dropout (Dropout)", "(None, 8)", "0", "32 B", "0"],
        ["twice (Dense)", "(None, 8)", "0*", "yes", "32 B", "136"],
        ["residual (Residual)", "(None, 8)"],
        ["inner (Dense)", "(None, 8)", "72", "yes", "32 B", "144"],
        ["join (Add)", "(None, 8)", "0", "32 B", "8"],
        ["dense_2 (Dense)", "(None, 2)", "18", "yes", "8 B", "36"],
        ["* shared with a layer above, and counted there"],
        ["trainable: 242 parameters, 968 B"],
        ["not trainable: 120 parameters, 480 B"],
        ["one example: outputs of 312 B, 828 FLOPs"],
    ]
    assert lines[6].startswith("  dense") and lines[10].startswith("  inner")
    assert max(map(len, lines)) <= 100
    assert model.training and not model.layers[1].trainable
    assert (model.layers[2].moving_variance.numpy() == 1).all()
    assert model.layers[3]._forward_hooks is None


def test_a_module_is_traced_or_listed():
    module = Residual()
    with pytest.raises(ValueError, match="Dense does not know its input shape"):
        module.summary()
    assert [cells(line) for line in lines_of(module, (8,))][1:] == [
        ["inner (Dense)", "(None, 8)", "72", "yes", "32 B", "144"],
        ["join (Add)", "(None, 8)", "0", "32 B", "8"],
        ["trainable: 72 parameters, 288 B"],
        ["not trainable: 0 parameters, 0 B"],
        ["one example: outputs of 64 B, 152 FLOPs"],
    ]
    assert [cells(line) for line in lines_of(module)][1:3] == [
        ["inner (Dense)", "72", "yes"],
        ["join (Add)", "0"],
    ]


def test_a_module_of_two_inputs_and_unknown_flops():
    class Pair(nn.Module):
        def __init__(self):
            self.embed = nn.Embedding(10, 4)
            self.dense = nn.Dense(4)
            self.double = nn.Lambda(lambda x: x * 2)

        def forward(self, indices, x):
            return self.embed(indices) + self.double(self.dense(x))

    lines = [cells(line) for line in lines_of(Pair(), [(), (3,)])]
    assert lines[1] == ["embed (Embedding)", "(None, 4)", "40", "yes", "16 B", "0"]
    assert lines[3] == ["double (Lambda)", "(None, 4)", "0", "16 B", "?"]
    assert lines[-1] == ["one example: outputs of 48 B, at least 28 FLOPs"]


def test_a_single_layer_and_large_numbers():
    lines = [cells(line) for line in lines_of(nn.Dense(2000, input_shape=(1000,)))]
    assert lines[1] == ["Dense (Dense)", "(None, 2000)", "2,002,000", "yes", "7.81 KiB", "4.00 M"]
    assert lines[2] == ["trainable: 2,002,000 parameters, 7.64 MiB"]


def test_the_memory_of_the_optimizer():
    model = nn.Sequential([nn.Dense(4, input_shape=(3,)), nn.Dense(1)])
    model.compile("adam", "mse")
    assert "optimizer: 168 B" in lines_of(model)  # two numbers for each of 21 parameters
    assert model._optimizer.parameters is None


def test_a_trained_model_of_ones_own_knows_its_shapes(rng):
    model = Pair()
    model.compile(optimizer="sgd", loss="mse")
    model.fit(rng.normal(size=(6, 5)).astype("float32"), np.eye(6, 2), verbose=0)
    lines = lines_of(model)
    assert cells(lines[1])[:2] == ["first (Dense)", "(None, 3)"]
    assert cells(lines[2])[:2] == ["second (Dense)", "(None, 2)"]


class Pair(nn.Model):
    def __init__(self):
        self.first, self.second = nn.Dense(3, activation="relu"), nn.Dense(2)

    def forward(self, x):
        return self.second(self.first(x))
