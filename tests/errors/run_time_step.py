# expect: range: step must be a compile-time constant, got the run-time value 'i'; declare it `const`
# caret: 10:tile.range(0, N, i)
# hint:
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    for k in tile.range(0, N, i):
        pass
