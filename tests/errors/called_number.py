# expect: 4 cannot be called
# caret: 10:BN(3)
# hint: operations of tile and tile functions can
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]", *, BN: const = 4):
    i = tile.grid(1)
    t = BN(3)
