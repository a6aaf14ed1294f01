# expect: tile functions nest 64 deep: does 'f' call itself
# caret: 9:f(a)
# hint: tile.range or tile.unroll repeats
# args: x=f32(8)


@tile_function
def f(a):
    return f(a)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = f(i)
