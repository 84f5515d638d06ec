"""ONNX files written by hand: a convolution without padding, a ReLU and a global average."""


def field(number, value):
    """A field of a Protocol Buffers message: an int, text, bytes or a message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value):
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def tensor(name, values, external=()):
    kind = 1 if values.dtype == "float32" else 7
    content = (
        b"".join(field(13, entry) for entry in external) + field(14, 1) if external else field(9, values.tobytes())
    )
    return b"".join(field(1, side) for side in values.shape) + field(2, kind) + field(8, name) + content


def value_info(name, shape):
    sides = b"".join(field(1, field(2, side) if isinstance(side, str) else field(1, side)) for side in shape)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, sides)))


def node(kind, inputs, output):
    return b"".join(field(1, name) for name in inputs) + field(2, output) + field(4, kind)


def write_onnx(path, weights, batch="n", flat=False, external=()):
    """Write the network: images (n, C, h, w) → ``map`` (n, D, h - 2, w - 2) and ``vector`` (n, D).

    With `flat` the vector is made by a reshape to one row, as exports without a dynamic axis have it. With `external`,
    entries that say where, the weights are elsewhere.
    """
    import numpy as np

    target = np.array([1 if flat else -1, weights.shape[0]], np.int64)
    graph = b"".join(
        field(1, part)
        for part in (
            node("Conv", ["images", "weights"], "conv"),
            node("Relu", ["conv"], "map"),
            node("GlobalAveragePool", ["map"], "average"),
            node("Reshape", ["average", "target"], "vector"),
        )
    )
    graph += field(2, "graph") + field(5, tensor("weights", weights, external)) + field(5, tensor("target", target))
    graph += field(11, value_info("images", [batch, weights.shape[1], "h", "w"]))
    graph += field(12, value_info("vector", [batch, weights.shape[0]]))
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(2, 13)))
