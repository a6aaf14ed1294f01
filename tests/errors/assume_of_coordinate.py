# expect: assume: a fact must be about scalars of the call, outside run-time loops and branches
# caret: 10:tile.assume(i < 4)
# hint: dimensions, scalar parameters and constants
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    tile.assume(i < 4)
