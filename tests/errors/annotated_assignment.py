# expect: AnnAssign is not part of the tile language
# caret: 9:n: int = 3
# hint: x = value


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    n: int = 3
