# expect: constant f: expected a number, bool, dtype, tuple or tile function, got builtin_function_or_method
# caret: 8:kernel
# hint: @tile_function
# args: x=f32(8), f=len


@tile_kernel
def kernel(x: "f32[N]", *, f: const):
    i = tile.grid(1)
    pass
