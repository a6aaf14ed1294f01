# expect: only names are assigned, not x.T
# caret: 9:x.T
# hint: tile.store(t, at, value) writes to a tensor; a tile does not change


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    x.T = 3
