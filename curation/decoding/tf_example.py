"""tf.train.Example and label_map.pbtxt as plain Python values, through protobuf and without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from curation.errors import UnreadableError

Value = list[int] | list[float] | list[bytes]
PICTURE = "image/encoded"  # the feature that holds the bytes of the image file


@lru_cache(maxsize=1)
def _messages() -> dict[str, Any]:
    """The message classes, in a pool of their own so that a TensorFlow in the same process does not mind.

    Field names and numbers are those of tensorflow/core/example/{example,feature}.proto and of the Object Detection
    API's string_int_label_map.proto.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="curate/example.proto", package="curate", syntax="proto2")

    def message(name: str, *fields: tuple[str, int, Any, str]) -> Any:
        """Each field: name, number, type ("x" of TYPE_X, or the name of a message), "repeated" or "optional"."""
        made = file.message_type.add(name=name)
        for field, number, kind, label in fields:
            one = made.field.add(name=field, number=number, label=getattr(kinds, f"LABEL_{label.upper()}"))
            if kind.islower() or kind[-1].isdigit():
                one.type = getattr(kinds, f"TYPE_{kind.upper()}")
            else:
                one.type, one.type_name = kinds.TYPE_MESSAGE, f".curate.{kind}"
        return made

    message("BytesList", ("value", 1, "bytes", "repeated"))
    for name, kind in (("FloatList", "float"), ("Int64List", "int64")):
        packed = message(name, ("value", 1, kind, "repeated"))
        packed.field[0].options.packed = True
    lists = ("BytesList", "FloatList", "Int64List")
    names = ("bytes_list", "float_list", "int64_list")
    feature = message(
        "Feature", *[(n, at, k, "optional") for at, (n, k) in enumerate(zip(names, lists, strict=True), 1)]
    )
    feature.oneof_decl.add(name="kind")
    for field in feature.field:
        field.oneof_index = 0
    features = message("Features", ("feature", 1, "Features.FeatureEntry", "repeated"))
    entry = features.nested_type.add(name="FeatureEntry", options=descriptor_pb2.MessageOptions(map_entry=True))
    entry.field.add(name="key", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    entry.field.add(
        name="value", number=2, type=kinds.TYPE_MESSAGE, type_name=".curate.Feature", label=kinds.LABEL_OPTIONAL
    )
    message("Example", ("features", 1, "Features", "optional"))
    message("Keypoint", ("id", 1, "int32", "optional"), ("label", 2, "string", "optional"))
    message(
        "Item",
        ("name", 1, "string", "optional"),
        ("id", 2, "int32", "optional"),
        ("display_name", 3, "string", "optional"),
        ("keypoints", 4, "Keypoint", "repeated"),
        ("ancestor_ids", 5, "int32", "repeated"),
        ("descendant_ids", 6, "int32", "repeated"),
        ("instance_count", 8, "int32", "optional"),
    )
    message("LabelMap", ("item", 1, "Item", "repeated"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = ("Example", "LabelMap")
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"curate.{name}")) for name in found}


def read_example(data: bytes) -> dict[str, Value]:
    """The features of a serialised tf.train.Example; an empty feature is an empty list.

    Raises
    ------
    UnreadableError : it is something else.
    """
    from google.protobuf.message import DecodeError

    example = _messages()["Example"]()
    try:
        example.ParseFromString(data)
    except (DecodeError, UnicodeDecodeError, ValueError) as error:
        raise UnreadableError(f"it is no tf.train.Example ({str(error)[:100]})") from error
    found: dict[str, Value] = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        found[name] = list(getattr(feature, kind).value) if kind else []
    return found


def write_example(features: Mapping[str, Sequence[Any]]) -> bytes:
    """A serialised tf.train.Example; lists of int, float or bytes, what there is of others is our mistake.

    The same features give the same bytes.
    """
    example = _messages()["Example"]()
    for name in sorted(features):
        values = features[name]
        feature = example.features.feature[name]
        first = values[0] if len(values) else b""
        kind = {int: "int64_list", float: "float_list", bytes: "bytes_list"}[type(first)]
        getattr(feature, kind).value.extend(values)
        getattr(feature, kind).SetInParent()
    return example.SerializeToString(deterministic=True)


def picture_of(data: bytes) -> bytes:
    """The image file inside a serialised tf.train.Example.

    Raises
    ------
    UnreadableError : there is none.
    """
    found = read_example(data).get(PICTURE, [])
    if len(found) != 1 or not isinstance(found[0], bytes):
        raise UnreadableError(f"the record has no picture ({PICTURE})")
    return found[0]


def read_label_map(text: str) -> list[dict[str, Any]]:
    """The items of a label map, in its order: `name` and `id` where it says them, and what else it says.

    Raises
    ------
    ValueError : it is something else; the text names the line.
    """
    from google.protobuf import json_format, text_format

    label_map = _messages()["LabelMap"]()
    try:
        text_format.Parse(text, label_map, allow_unknown_field=True)
    except text_format.ParseError as error:
        line = error.GetLine()
        raise ValueError(f"line {line or 1}: {str(error).partition(' : ')[2] or error}") from error
    except (RecursionError, UnicodeError) as error:
        raise ValueError(f"line 1: {str(error)[:100]}") from error
    return [json_format.MessageToDict(item, preserving_proto_field_name=True) for item in label_map.item]


def write_label_map(items: Sequence[Mapping[str, Any]]) -> str:
    """A label map; keys that it cannot say are left out."""
    from google.protobuf import json_format, text_format

    label_map = _messages()["LabelMap"]()
    for item in items:
        json_format.ParseDict(dict(item), label_map.item.add(), ignore_unknown_fields=True)
    return text_format.MessageToString(label_map, as_utf8=True)
