"""Reading YAML from unknown sources: plain data only, and one exception for any fault.

PyYAML's safe loader runs no code, but expands merge keys without end, keeps the last of two equal keys, and its
constructors raise any exception.
"""

from typing import Any

import yaml
from yaml.constructor import ConstructorError

from workflow_lib.files import MERGE, repeated_keys

LONGEST_NUMBER = 40  # characters: Python is slow with long ones, and cannot print them


class ForeignYamlError(Exception):
    """Why a text is no YAML that can be read."""


def read_foreign_yaml(content: bytes) -> Any:
    """The one document of a UTF-8 text; ForeignYamlError in words for whatever is wrong with it."""
    try:
        return yaml.load(content.decode("utf-8"), _Loader)
    except Exception as error:  # constructors raise anything: KeyError for !!bool x, RecursionError for [[[[...
        reason = " ".join(str(error).split())[:150] or type(error).__name__
        raise ForeignYamlError(reason) from None


class _Loader(yaml.SafeLoader):
    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if node.tag.endswith((":int", ":float")) and len(node.value) > LONGEST_NUMBER:
            raise ConstructorError(None, None, f"a number of {len(node.value)} characters", node.start_mark)
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError):
            value = repr(node.value[:30]) if isinstance(node, yaml.ScalarNode) else "a list or mapping"
            problem = f"{value} is no {node.tag.rpartition(':')[2]}"
            raise ConstructorError(None, None, problem, node.start_mark) from None

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        for fault in repeated_keys(self, node):
            raise ConstructorError(None, None, fault)
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuse merge keys instead of merging."""
        for key, _ in node.value:
            if key.tag == MERGE:
                raise ConstructorError(None, None, "merge keys (<<) are not read: write the fields out", key.start_mark)
