# expect: f: argument 'b' is missing
# caret: 15:f(i)
# hint: f(a, b)
# args: x=f32(8)


@tile_function
def f(a, b):
    return a + b


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = f(i)
