# expect: only names are assigned, not t[0]
# caret: 10:t[0]
# hint: tile.store(t, at, value) writes to a tensor; a tile does not change


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.load(x, (0, 4))
    t[0] = 1.0
