# expect: zeros: an extent must be a positive compile-time integer, got 4
# caret: 10:tile.zeros(4, tile.f32)
# hint: a tuple such as (BM, BN)
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.zeros(4, tile.f32)
