# expect: <<: shift amount 32 outside 0..31
# caret: 10:tile.load(y, (0, 4)) << 32
# hint:
# args: x=f32(8), y=i32(8)


@tile_kernel
def kernel(x: "f32[N]", y: "i32[N]"):
    i = tile.grid(1)
    t = tile.load(y, (0, 4)) << 32
