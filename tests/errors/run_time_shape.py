# expect: zeros: an extent must be a compile-time constant, got the run-time value 'N'; declare it `const`
# caret: 10:tile.zeros((N,), tile.f32)
# hint:
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.zeros((N,), tile.f32)
