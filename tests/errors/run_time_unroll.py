# expect: unroll: a bound must be a compile-time constant, got the run-time value 'N'; declare it `const`
# caret: 10:tile.unroll(N)
# hint:
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    for k in tile.unroll(N):
        pass
