# expect: 'N' is not bound here
# caret: 9:N
# hint:
# args: x=f32(8)


@tile_function
def f(a):
    return a + N


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = f(i)
