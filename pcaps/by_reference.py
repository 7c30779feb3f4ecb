"""Named tuples of arrays, handed from kernel to kernel as one pointer.

numba passes a tuple by value: an array is seven machine words, so a tuple of thirty
arrays is copied to the stack, word by word, at every call that is not inlined. That
cost more than the work (measured in the event loop of TCP endpoints: 2.4 instead of
6 million events a second), and compiling it took twice as long.

A kernel that is called from Python takes the tuple and hands on
``by_reference(tuple)``; from there on it is a pointer into that kernel's frame, with
the same attributes. Fields that are named tuples themselves become references, too.
Reassigning is not possible, as with any tuple. A reference must not outlive the call
that made it. Where kernels run as plain Python it is the tuple itself.
"""

from __future__ import annotations

import hashlib
from typing import Any

from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.core.imputils import impl_ret_borrowed, lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, intrinsic, models, register_model

_INDEX = ir.IntType(32)


class Reference(types.Type):
    """The type of a pointer to a named tuple; `target` is the tuple's."""

    def __init__(self, target: types.NamedTuple) -> None:
        self.target = target
        # the whole of the type would make symbols of ten thousand letters
        digest = hashlib.blake2b(str(target).encode(), digest_size=8).hexdigest()
        super().__init__(name=f"Reference({target.instance_class.__name__}_{digest})")


@register_model(Reference)
class _ReferenceModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Reference) -> None:
        target = dmm.lookup(fe_type.target).get_value_type()
        super().__init__(dmm, fe_type, target.as_pointer())


@infer_getattr
class _ReferenceAttribute(AttributeTemplate):
    key = Reference

    def generic_resolve(self, typ: Reference, attr: str) -> Any:
        if attr not in typ.target.fields:
            return None
        field = typ.target.types[typ.target.fields.index(attr)]
        return Reference(field) if isinstance(field, types.NamedTuple) else field


@lower_getattr_generic(Reference)
def _load_field(context: Any, builder: Any, typ: Reference, value: Any, attr: str) -> Any:
    place = typ.target.fields.index(attr)
    field = typ.target.types[place]
    pointer = builder.gep(value, [_INDEX(0), _INDEX(place)], inbounds=True)
    if isinstance(field, types.NamedTuple):
        return pointer
    return impl_ret_borrowed(context, builder, field, builder.load(pointer))


@intrinsic
def _refer(_context: Any, target: Any) -> Any:
    if not isinstance(target, types.NamedTuple):
        return None

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        pointer = cgutils.alloca_once(builder, arguments[0].type)
        builder.store(arguments[0], pointer)
        return pointer

    return Reference(target)(target), generate


def _itself(target: Any) -> Any:
    return target


by_reference: Any = _itself if config.DISABLE_JIT else _refer
"""Return a reference to a named tuple that is valid until the calling kernel returns."""
