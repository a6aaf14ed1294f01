# expect: +: literal 1 does not fit tile<bool, 4>
# caret: 10:(tile.load(x, (0, 4)) > 0) + 1
# hint:
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = (tile.load(x, (0, 4)) > 0) + 1
