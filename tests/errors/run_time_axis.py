# expect: sum: axis must be a compile-time constant, got the run-time value 'N'; declare it `const`
# caret: 10:tile.sum(tile.load(x, (0, 4)), N)
# hint:
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.sum(tile.load(x, (0, 4)), N)
