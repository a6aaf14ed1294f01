# expect: grid: tile.grid stands inside a run-time loop or branch
# caret: 10:tile.grid(1)
# hint: it comes first in the kernel
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    for k in tile.range(0, N):
        i = tile.grid(1)
