"""TensorFlow Lite files: what is read of them, and that everything else is refused by name."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tflite_files import TfliteWriter, repeated_file

from jaxdissect.networks.weights import tflite_file
from jaxdissect.networks.weights.stored import Refused
from jaxdissect.networks.weights.tflite_file import read_tflite
from jaxdissect.networks.weights.tflite_steps import steps_of

CONVOLUTION = {
    "options": "Conv2DOptions",
    "Padding": 0,
    "StrideH": 1,
    "StrideW": 1,
    "DilationHFactor": 1,
    "DilationWFactor": 1,
    "FusedActivationFunction": 3,
}


def small_file(**changes):
    """A convolution of 2 channels to 3 with a kernel of int8, and what it stores."""
    writer = TfliteWriter()
    stored = np.arange(-27, 27, dtype=np.int8).reshape(3, 3, 3, 2)
    image = writer.tensor((1, 5, 5, 2))
    kernel = writer.constant(stored, scales=(0.5, 0.25, 2.0), zeros=(0, 0, 1), axis=0)
    bias = writer.constant(np.array([1, 2, 3], np.float32))
    place = writer.operator(
        "CONV_2D", [image, kernel, bias], (1, 5, 5, 3), **(CONVOLUTION | changes)
    )
    return writer, image, place, stored


def constants(graph):
    return [np.asarray(tensor.constant) for tensor in graph.tensors]


def written(path, content):
    path.write_bytes(content)
    return path


def test_a_file_is_read_as_data(tmp_path):
    writer, image, place, stored = small_file()
    graph = read_tflite(written(tmp_path / "a.tflite", writer.content([image], [place])))
    assert (graph.inputs, graph.outputs) == ((image,), (place,))
    (operator,) = graph.operators
    assert operator.kind == "CONV_2D" and operator.inputs == (0, 1, 2)
    assert operator.options["FusedActivationFunction"] == 3
    assert graph.tensors[image].constant is None and graph.tensors[image].shape == (1, 5, 5, 2)
    scale = np.array([0.5, 0.25, 2.0]).reshape(3, 1, 1, 1)
    zero = np.array([0, 0, 1]).reshape(3, 1, 1, 1)
    np.testing.assert_array_equal(graph.tensors[1].constant, (stored.astype(float) - zero) * scale)
    np.testing.assert_array_equal(graph.tensors[2].constant, np.array([1, 2, 3], np.float32))
    (step,) = steps_of(graph)
    assert (step.inputs, step.output, step.activation) == ((image,), place, "relu6")
    assert step.kernel is not None and step.kernel.shape == (3, 3, 2, 3)
    kernel = constants(graph)[1]
    np.testing.assert_array_equal(step.kernel[1, 2, 0], kernel[:, 1, 2, 0])


def test_one_scale_and_a_zero_point_and_half_precision(tmp_path):
    writer = TfliteWriter()
    writer.constant(np.array([0, 128, 255], np.uint8), scales=(0.1,), zeros=(128,))
    writer.constant(np.array([0.5, 2], np.float16))
    writer.constant(np.array([3, 4], np.int32))
    graph = read_tflite(written(tmp_path / "a.tflite", writer.content([], [])))
    first, second, third = constants(graph)
    np.testing.assert_allclose(first, [-12.8, 0, 12.7], rtol=1e-6)
    assert second.dtype == np.float16 and third.tolist() == [3, 4]


def test_files_of_other_kinds_are_refused(tmp_path):
    writer, image, place, _ = small_file()
    whole = writer.content([image], [place])
    for content in (b"", b"PK\x03\x04 and more", whole[:7], whole.replace(b"TFL3", b"TFL2")):
        path = written(tmp_path / "other.tflite", content)
        with pytest.raises(ValueError, match="other.tflite is truncated or no TensorFlow Lite"):
            read_tflite(path)
    for part in (0.2, 0.5, 0.9):
        path = written(tmp_path / "half.tflite", whole[: int(part * len(whole))])
        with pytest.raises(ValueError, match="half.tflite"):
            read_tflite(path)
    path = written(tmp_path / "two.tflite", writer.content([image], [place], graphs=2))
    with pytest.raises(ValueError, match="two.tflite holds 2 graphs"):
        read_tflite(path)
    with pytest.raises(ValueError, match="is a folder"):
        read_tflite(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_tflite(tmp_path / "absent.tflite")


def test_scales_that_do_not_fit_are_refused(tmp_path):
    for options in ({"scales": (1, 2)}, {"scales": (1, 2, 3), "axis": 7}, {"scales": (np.inf,)}):
        writer = TfliteWriter()
        writer.constant(np.zeros((3, 4), np.int8), **options)
        path = written(tmp_path / "a.tflite", writer.content([], []))
        with pytest.raises(ValueError, match="a.tflite is damaged: .*scales"):
            read_tflite(path)


def test_arrays_of_another_size_than_their_shape_are_refused(tmp_path):
    writer = TfliteWriter()
    writer.tensor((3, 5), array=np.zeros(14, np.float32))
    path = written(tmp_path / "a.tflite", writer.content([], []))
    with pytest.raises(ValueError, match=r"damaged: tensor_0 of shape \[3, 5\] .* has 56 bytes"):
        read_tflite(path)


@pytest.mark.parametrize("shared", ["array", "name", "shape", "inputs"])
def test_what_is_repeated_is_refused_before_it_is_made(tmp_path, monkeypatch, shared):
    content = repeated_file(shared, size=1 << 18, times=400)
    path = written(tmp_path / "bomb.tflite", content)
    for made in ("_tensor", "_operator"):
        monkeypatch.setattr(tflite_file, made, lambda *args: pytest.fail("made"))
    assert path.stat().st_size < 1 << 21
    with pytest.raises(ValueError, match="bomb.tflite refused, because its .* repeat each other"):
        read_tflite(path)


def test_weights_of_several_operators_are_refused(tmp_path):
    writer, image, place, _ = small_file()
    second = writer.operator("CONV_2D", [image, 1, 2], (1, 5, 5, 3), **CONVOLUTION)
    graph = read_tflite(written(tmp_path / "a.tflite", writer.content([image], [place, second])))
    with pytest.raises(Refused, match="operator 0, CONV_2D, shares its weights with another"):
        steps_of(graph)


def test_a_missing_extra_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tflite", None)
    with pytest.raises(ValueError, match=r"pip install 'jaxdissect\[tflite\]'"):
        read_tflite(tmp_path / "a.tflite")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damage_is_read_or_refused_and_nothing_else(tmp_path_factory, data):
    writer, image, place, _ = small_file()
    content = bytearray(writer.content([image], [place]))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.tflite"
    path.write_bytes(content)
    try:
        steps_of(read_tflite(path))
    except ValueError as problem:
        assert "damaged.tflite" in str(problem)
    except Refused:
        pass


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"Padding": 1}, "pads otherwise"),
        ({"StrideW": 2}, "strides or dilates otherwise"),
        ({"FusedActivationFunction": 4}, "activation that is not known"),
    ],
)
def test_convolutions_that_are_no_step_are_refused(tmp_path, changes, message):
    writer, image, place, _ = small_file(**changes)
    graph = read_tflite(written(tmp_path / "a.tflite", writer.content([image], [place])))
    with pytest.raises(Refused, match=f"operator 0, CONV_2D, .*{message}"):
        steps_of(graph)


def test_constants_fold_only_into_a_convolution_that_nothing_else_reads(tmp_path):
    writer, image, place, _ = small_file(FusedActivationFunction=0)
    factor = writer.constant(np.array([2, 3, 4], np.float32))
    product = writer.operator("MUL", [place, factor], (1, 5, 5, 3), "MulOptions")
    graph = read_tflite(written(tmp_path / "a.tflite", writer.content([image], [product])))
    (step,) = steps_of(graph)
    assert step.output == product and step.bias is not None
    np.testing.assert_array_equal(step.bias, [2, 6, 12])
    graph = read_tflite(written(tmp_path / "a.tflite", writer.content([image], [place, product])))
    with pytest.raises(Refused, match="also used without it"):
        steps_of(graph)
