# expect: With is not part of the tile language
# caret: 9:with x:
# hint:


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    with x:
        pass
