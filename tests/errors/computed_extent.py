# expect: load: an extent must be a compile-time constant, got a run-time value; declare it `const`
# caret: 10:tile.load(x, (0, N // 2))
# hint:
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.load(x, (0, N // 2))
