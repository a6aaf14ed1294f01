# expect: assume: does not hold for these constants
# caret: 10:tile.assume(BN % 8 == 0)
# hint:
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]", *, BN: const = 4):
    i = tile.grid(1)
    tile.assume(BN % 8 == 0)
