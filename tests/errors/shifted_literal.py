# expect: <<: the left operand must be an integer tile, got 1
# caret: 10:1 << tile.load(y, (0, 4))
# hint: tile.full((), 1, tile.i32)
# args: x=f32(8), y=i32(8)


@tile_kernel
def kernel(x: "f32[N]", y: "i32[N]"):
    i = tile.grid(1)
    t = 1 << tile.load(y, (0, 4))
