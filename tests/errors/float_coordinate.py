# expect: load: a coordinate must be an integer scalar, got 0.5
# caret: 10:tile.load(x, 0.5)
# hint:
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.load(x, 0.5)
