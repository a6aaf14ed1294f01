# expect: JoinedStr is not part of the tile language
# caret: 9:f"f{32}"
# hint:


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.full((4,), 0, f"f{32}")
