"""Families that the other files lack: diffusion transformers and decoders, optical flow, volumes, speakers, separation, points,
neural fields and operators, boxes pooled from features, suppression of overlapping boxes, filters made while running."""
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from .blocks import conv_norm, image, settle
from .registry import model


class Separable(nn.Module):
    """Conv-TasNet's block: 1x1, a dilated depthwise convolution, norms over channels and time, a residual and a skip."""

    def __init__(self, channels, hidden, dilation):
        super().__init__()
        self.enter = nn.Sequential(nn.Conv1d(channels, hidden, 1), nn.PReLU(), nn.GroupNorm(1, hidden))
        self.middle = nn.Sequential(nn.Conv1d(hidden, hidden, 3, padding=dilation, dilation=dilation, groups=hidden), nn.PReLU(), nn.GroupNorm(1, hidden))
        self.residual, self.skip = nn.Conv1d(hidden, channels, 1), nn.Conv1d(hidden, channels, 1)

    def forward(self, x):
        y = self.middle(self.enter(x))
        return x + self.residual(y), self.skip(y)


class ConvTasNet(nn.Module):
    def __init__(self, filters=128, channels=64, hidden=128, speakers=2):
        super().__init__()
        self.speakers = speakers
        self.encode = nn.Conv1d(1, filters, 16, 8, bias=False)
        self.enter = nn.Sequential(nn.GroupNorm(1, filters), nn.Conv1d(filters, channels, 1))
        self.blocks = nn.ModuleList([Separable(channels, hidden, 2 ** (i % 4)) for i in range(8)])
        self.mask = nn.Sequential(nn.PReLU(), nn.Conv1d(channels, filters * speakers, 1), nn.Sigmoid())
        self.decode = nn.ConvTranspose1d(filters, 1, 16, 8, bias=False)

    def forward(self, wave):
        code = F.relu(self.encode(wave))
        y, total = self.enter(code), 0
        for block in self.blocks:
            y, skip = block(y)
            total = total + skip
        masks = self.mask(total).unflatten(1, (self.speakers, -1))
        return self.decode((masks * code[:, None]).flatten(0, 1)).unflatten(0, (-1, self.speakers)).squeeze(2)


@model("conv_tasnet")
def conv_tasnet():
    return ConvTasNet().eval(), {"wave": torch.randn(1, 1, 8000)}


class Conditioned(nn.Module):
    """DiT's block: shift, scale and gate of both halves come from the time and the class."""

    def __init__(self, d, heads):
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(d, elementwise_affine=False), nn.LayerNorm(d, elementwise_affine=False)
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(approximate="tanh"), nn.Linear(4 * d, d))
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(d, 6 * d))

    def forward(self, x, c):
        shift, scale, gate, shift2, scale2, gate2 = self.modulation(c)[:, None].chunk(6, -1)
        b, n, d = x.shape
        q, k, v = self.qkv(self.first(x) * (1 + scale) + shift).view(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        x = x + gate * self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, d))
        return x + gate2 * self.mlp(self.second(x) * (1 + scale2) + shift2)


class DiT(nn.Module):
    def __init__(self, d=192, heads=6, depth=4, patch=2, channels=4, size=32):
        super().__init__()
        self.patch, self.channels, self.side = patch, channels, size // patch
        self.embed = nn.Conv2d(channels, d, patch, patch)
        self.position = nn.Parameter(torch.randn(1, self.side ** 2, d) * 0.02)
        self.time, self.label = nn.Sequential(nn.Linear(64, d), nn.SiLU(), nn.Linear(d, d)), nn.Embedding(11, d)
        self.blocks = nn.ModuleList([Conditioned(d, heads) for _ in range(depth)])
        self.norm, self.shape = nn.LayerNorm(d, elementwise_affine=False), nn.Linear(d, 2 * d)
        self.last = nn.Linear(d, patch * patch * 2 * channels)

    def forward(self, x, t, label):
        rate = torch.exp(torch.arange(32) * (-9.21 / 32))
        angle = t[:, None] * rate
        c = self.time(torch.cat([angle.cos(), angle.sin()], -1)) + self.label(label)
        y = self.embed(x).flatten(2).transpose(1, 2) + self.position
        for block in self.blocks:
            y = block(y, c)
        shift, scale = self.shape(F.silu(c))[:, None].chunk(2, -1)
        y = self.last(self.norm(y) * (1 + scale) + shift)
        y = y.view(-1, self.side, self.side, self.patch, self.patch, 2 * self.channels)
        return torch.einsum("nhwpqc->nchpwq", y).reshape(y.shape[0], 2 * self.channels, self.side * self.patch, -1)


@model("dit", open={"x": {0: "batch"}, "t": {0: "batch"}, "label": {0: "batch"}})
def dit():
    return DiT().eval(), {"x": torch.randn(2, 4, 32, 32), "t": torch.tensor([3.0, 500.0]), "label": torch.tensor([1, 7])}


class Swished(nn.Module):
    def __init__(self, channels, filters):
        super().__init__()
        self.body = nn.Sequential(nn.GroupNorm(8, channels), nn.SiLU(), nn.Conv2d(channels, filters, 3, padding=1),
                                  nn.GroupNorm(8, filters), nn.SiLU(), nn.Conv2d(filters, filters, 3, padding=1))
        self.skip = nn.Identity() if channels == filters else nn.Conv2d(channels, filters, 1)

    def forward(self, x):
        return self.skip(x) + self.body(x)


class Attended(nn.Module):
    """One head over all pixels, by 1x1 convolutions."""

    def __init__(self, c):
        super().__init__()
        self.norm, self.qkv, self.out = nn.GroupNorm(8, c), nn.Conv2d(c, 3 * c, 1), nn.Conv2d(c, c, 1)

    def forward(self, x):
        b, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(b, 3, c, h * w).unbind(1)
        weight = torch.softmax(torch.bmm(q.transpose(1, 2), k) * c ** -0.5, -1)
        return x + self.out(torch.bmm(v, weight.transpose(1, 2)).reshape(b, c, h, w))


class Latent(nn.Module):
    """The decoder of a latent diffusion model."""

    def __init__(self, c=128):
        super().__init__()
        up = lambda a, b: nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(a, a, 3, padding=1), Swished(a, b))
        self.body = nn.Sequential(nn.Conv2d(4, c, 3, padding=1), Swished(c, c), Attended(c), Swished(c, c), up(c, c // 2), up(c // 2, c // 4),
                                  nn.GroupNorm(8, c // 4), nn.SiLU(), nn.Conv2d(c // 4, 3, 3, padding=1))

    def forward(self, z):
        return self.body(z / 0.18215).clamp(-1, 1)


@model("vae_decoder", traced=17, open={"z": {2: "h", 3: "w"}})
def vae_decoder():
    return Latent().eval(), {"z": torch.randn(1, 4, 24, 32)}


class Recurrence(nn.Module):
    """RAFT's update: a GRU whose products are convolutions along rows, then columns."""

    def __init__(self, h, x):
        super().__init__()
        conv = lambda k, p: nn.Conv2d(h + x, h, k, padding=p)
        self.rows = nn.ModuleList([conv((1, 5), (0, 2)) for _ in range(3)])
        self.columns = nn.ModuleList([conv((5, 1), (2, 0)) for _ in range(3)])

    def forward(self, h, x):
        for z, r, q in (self.rows, self.columns):
            hx = torch.cat([h, x], 1)
            update = torch.sigmoid(z(hx))
            h = (1 - update) * h + update * torch.tanh(q(torch.cat([torch.sigmoid(r(hx)) * h, x], 1)))
        return h


class Flow(nn.Module):
    """RAFT: all pairs of pixels correlated, looked up around the flow of each step."""

    def __init__(self, c=48, hidden=32, radius=3, steps=4):
        super().__init__()
        self.steps, self.radius = steps, radius
        self.features = nn.Sequential(conv_norm(3, 24, 7, 2), conv_norm(24, 32, 3, 2), conv_norm(32, 48, 3, 2), nn.Conv2d(48, c, 1))
        self.context = nn.Sequential(conv_norm(3, 24, 7, 2), conv_norm(24, 32, 3, 2), conv_norm(32, 48, 3, 2), nn.Conv2d(48, 2 * hidden, 1))
        self.motion = nn.Sequential(nn.Conv2d(2 * (2 * radius + 1) ** 2 + 2, 48, 3, padding=1), nn.ReLU())
        self.recurrence, self.change = Recurrence(hidden, hidden + 48), nn.Sequential(nn.Conv2d(hidden, 48, 3, padding=1), nn.ReLU(), nn.Conv2d(48, 2, 3, padding=1))

    def look(self, pyramid, at):
        b, _, h, w = at.shape
        span = torch.arange(-self.radius, self.radius + 1, dtype=torch.float32)
        window = torch.stack(torch.meshgrid(span, span, indexing="ij"), -1)[None]
        found = []
        for level, volume in enumerate(pyramid):
            centre = at.permute(0, 2, 3, 1).reshape(b * h * w, 1, 1, 2) / 2 ** level + window
            size = torch.tensor([volume.shape[3] - 1, volume.shape[2] - 1], dtype=torch.float32)
            sampled = F.grid_sample(volume, 2 * centre / size - 1, align_corners=True)
            found.append(sampled.view(b, h, w, -1))
        return torch.cat(found, -1).permute(0, 3, 1, 2)

    def forward(self, first, second):
        f, g = self.features(first), self.features(second)
        b, c, h, w = f.shape
        volume = (f.flatten(2).transpose(1, 2) @ g.flatten(2) * c ** -0.5).reshape(b * h * w, 1, h, w)
        pyramid = [volume, F.avg_pool2d(volume, 2)]
        hidden, context = self.context(first).chunk(2, 1)
        hidden, context = torch.tanh(hidden), F.relu(context)
        y, x = torch.meshgrid(torch.arange(h, dtype=torch.float32), torch.arange(w, dtype=torch.float32), indexing="ij")
        start = torch.stack([x, y])[None].expand(b, -1, -1, -1)
        at = start
        for _ in range(self.steps):
            flow = at - start
            motion = self.motion(torch.cat([self.look(pyramid, at), flow], 1))
            hidden = self.recurrence(hidden, torch.cat([context, motion], 1))
            at = at + self.change(hidden)
        return 8 * F.interpolate(at - start, scale_factor=8, mode="bilinear", align_corners=True)


@model("raft", traced=17)
def raft():
    flow = Flow()
    settle(flow.features, image(128)), settle(flow.context, image(128))
    return flow.eval(), {"first": image(128), "second": image(128)}


class Volume(nn.Module):
    """A U-Net of volumes: instance norms, leaky units, transposed convolutions upwards."""

    def __init__(self, c=8):
        super().__init__()
        block = lambda a, b, s=1: nn.Sequential(nn.Conv3d(a, b, 3, s, 1), nn.InstanceNorm3d(b, affine=True), nn.LeakyReLU(0.01),
                                                nn.Conv3d(b, b, 3, 1, 1), nn.InstanceNorm3d(b, affine=True), nn.LeakyReLU(0.01))
        self.down = nn.ModuleList([block(1, c), block(c, 2 * c, 2), block(2 * c, 4 * c, 2)])
        self.rise = nn.ModuleList([nn.ConvTranspose3d(4 * c, 2 * c, 2, 2), nn.ConvTranspose3d(2 * c, c, 2, 2)])
        self.up, self.last = nn.ModuleList([block(4 * c, 2 * c), block(2 * c, c)]), nn.Conv3d(c, 3, 1)

    def forward(self, x):
        kept = []
        for down in self.down:
            x = down(x)
            kept.append(x)
        for rise, up, skip in zip(self.rise, self.up, kept[-2::-1]):
            x = up(torch.cat([rise(x), skip], 1))
        return self.last(x).softmax(1)


@model("unet3d")
def unet3d():
    return Volume().eval(), {"x": torch.randn(1, 1, 32, 48, 48)}


class Res2(nn.Module):
    """ECAPA-TDNN's block: channels in eighths, each sees the sum with the one before; then squeeze and excitation."""

    def __init__(self, c, dilation, scale=8):
        super().__init__()
        self.scale, w = scale, c // scale
        norm = lambda a, b, k=1, d=1: nn.Sequential(nn.Conv1d(a, b, k, dilation=d, padding=d * (k // 2)), nn.ReLU(), nn.BatchNorm1d(b))
        self.enter, self.leave = norm(c, c), norm(c, c)
        self.parts = nn.ModuleList([norm(w, w, 3, dilation) for _ in range(scale - 1)])
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Conv1d(c, 32, 1), nn.ReLU(), nn.Conv1d(32, c, 1), nn.Sigmoid())

    def forward(self, x):
        parts = list(self.enter(x).chunk(self.scale, 1))
        out, y = [parts[0]], None
        for part, conv in zip(parts[1:], self.parts):
            y = conv(part if y is None else part + y)
            out.append(y)
        y = self.leave(torch.cat(out, 1))
        return x + y * self.squeeze(y)


class Speaker(nn.Module):
    def __init__(self, mels=80, c=128):
        super().__init__()
        self.enter = nn.Sequential(nn.Conv1d(mels, c, 5, padding=2), nn.ReLU(), nn.BatchNorm1d(c))
        self.blocks = nn.ModuleList([Res2(c, d) for d in (2, 3, 4)])
        self.join = nn.Sequential(nn.Conv1d(3 * c, 256, 1), nn.ReLU())
        self.attention = nn.Sequential(nn.Conv1d(768, 64, 1), nn.ReLU(), nn.BatchNorm1d(64), nn.Tanh(), nn.Conv1d(64, 256, 1))
        self.last = nn.Sequential(nn.BatchNorm1d(512), nn.Linear(512, 192))

    def forward(self, mel):
        x, kept = self.enter(mel), []
        for block in self.blocks:
            x = block(x)
            kept.append(x)
        x = self.join(torch.cat(kept, 1))
        mean, spread = x.mean(2, keepdim=True), x.var(2, keepdim=True).clamp(min=1e-9).sqrt()
        weight = self.attention(torch.cat([x, mean.expand_as(x), spread.expand_as(x)], 1)).softmax(2)
        mean = (weight * x).sum(2)
        spread = ((weight * x * x).sum(2) - mean * mean).clamp(min=1e-9).sqrt()
        return F.normalize(self.last(torch.cat([mean, spread], 1)))


@model("ecapa", open={"mel": {2: "frames"}})
def ecapa():
    return settle(Speaker(), torch.randn(2, 80, 100)), {"mel": torch.randn(1, 80, 200)}


class EdgeConv(nn.Module):
    def __init__(self, channels, filters, k=16):
        super().__init__()
        self.k, self.conv = k, nn.Sequential(nn.Conv2d(2 * channels, filters, 1, bias=False), nn.BatchNorm2d(filters), nn.LeakyReLU(0.2))

    def forward(self, x):
        b, c, n = x.shape
        square = (x * x).sum(1, keepdim=True)
        near = (2 * x.transpose(1, 2) @ x - square - square.transpose(1, 2)).topk(self.k, -1).indices
        rows = x.transpose(1, 2)
        at = (near + torch.arange(b)[:, None, None] * n).view(-1)
        other = rows.reshape(b * n, c)[at].view(b, n, self.k, c)
        own = rows[:, :, None].expand(-1, -1, self.k, -1)
        return self.conv(torch.cat([other - own, own], 3).permute(0, 3, 1, 2)).amax(-1)


class Points(nn.Module):
    """DGCNN: the nearest points in the space of each layer's features."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([EdgeConv(3, 32), EdgeConv(32, 32), EdgeConv(32, 64)])
        self.join = nn.Sequential(nn.Conv1d(128, 256, 1, bias=False), nn.BatchNorm1d(256), nn.LeakyReLU(0.2))
        self.last = nn.Linear(512, 40)

    def forward(self, x):
        kept = []
        for layer in self.layers:
            x = layer(x)
            kept.append(x)
        x = self.join(torch.cat(kept, 1))
        return self.last(torch.cat([x.amax(2), x.mean(2)], 1))


@model("dgcnn", traced=17)
def dgcnn():
    return settle(Points(), torch.randn(1, 3, 512)), {"x": torch.randn(1, 3, 512)}


class Field(nn.Module):
    """NeRF: sines of points and directions, density and colour, samples of a ray added up behind one another."""

    def __init__(self, width=128):
        super().__init__()
        self.first = nn.Sequential(nn.Linear(63, width), nn.ReLU(), *[m for _ in range(3) for m in (nn.Linear(width, width), nn.ReLU())])
        self.second = nn.Sequential(nn.Linear(width + 63, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.density, self.feature = nn.Linear(width, 1), nn.Linear(width, width)
        self.colour = nn.Sequential(nn.Linear(width + 27, width // 2), nn.ReLU(), nn.Linear(width // 2, 3), nn.Sigmoid())

    @staticmethod
    def waves(x, n):
        angle = x[..., None] * 2.0 ** torch.arange(n)
        return torch.cat([x, angle.sin().flatten(-2), angle.cos().flatten(-2)], -1)

    def forward(self, origin, direction):
        depth = torch.linspace(2, 6, 32)
        at = self.waves(origin[:, None] + direction[:, None] * depth[:, None], 10)
        y = self.second(torch.cat([self.first(at), at], -1))
        density = F.relu(self.density(y))[..., 0]
        view = self.waves(F.normalize(direction), 4)[:, None].expand(-1, 32, -1)
        colour = self.colour(torch.cat([self.feature(y), view], -1))
        density = density * (4 / 31)
        before = torch.cumsum(density, 1) - density
        weight = torch.exp(-before) * (1 - torch.exp(-density))
        return (weight[..., None] * colour).sum(1), (weight * depth).sum(1)


@model("nerf", traced=17, open={"origin": {0: "rays"}, "direction": {0: "rays"}})
def nerf():
    return Field().eval(), {"origin": torch.randn(64, 3), "direction": torch.randn(64, 3)}


class Modulated(nn.Module):
    """StyleGAN2's convolution: filters scaled by a style and made of one length, one set for each image."""

    def __init__(self, channels, filters, style, up=False):
        super().__init__()
        self.up, self.weight = up, nn.Parameter(torch.randn(filters, channels, 3, 3) * (9 * channels) ** -0.5)
        self.affine, self.bias = nn.Linear(style, channels), nn.Parameter(torch.zeros(filters))

    def forward(self, x, style):
        b, c, h, w = x.shape
        weight = self.weight[None] * (self.affine(style) + 1)[:, None, :, None, None]
        weight = weight * torch.rsqrt((weight * weight).sum([2, 3, 4], keepdim=True) + 1e-8)
        if self.up:
            x = F.interpolate(x, scale_factor=2, mode="bilinear")
            h, w = 2 * h, 2 * w
        y = F.conv2d(x.reshape(1, b * c, h, w), weight.flatten(0, 1), padding=1, groups=b).view(b, -1, h, w)
        return F.leaky_relu(y + self.bias[:, None, None], 0.2) * 2 ** 0.5


class StyleGAN(nn.Module):
    def __init__(self, style=64, c=(64, 64, 48, 32)):
        super().__init__()
        self.mapping = nn.Sequential(*[m for _ in range(4) for m in (nn.Linear(style, style), nn.LeakyReLU(0.2))])
        self.start = nn.Parameter(torch.randn(1, c[0], 8, 8))
        self.layers = nn.ModuleList([Modulated(a, b, style, up) for a, b in zip(c, c[1:]) for up in (True,)] +
                                    [Modulated(c[-1], c[-1], style)])
        self.last = nn.Conv2d(c[-1], 3, 1)

    def forward(self, z):
        style = self.mapping(z * torch.rsqrt((z * z).mean(1, keepdim=True) + 1e-8))
        x = self.start.expand(z.shape[0], -1, -1, -1)
        for layer in self.layers:
            x = layer(x, style)
        return self.last(x)


@model("stylegan", traced=17)
def stylegan():
    return StyleGAN().eval(), {"z": torch.randn(2, 64)}


class DynamicConv(nn.Module):
    """CondConv: each image's filters are a mixture of four."""

    def __init__(self, channels, filters, stride=1):
        super().__init__()
        self.stride, self.router = stride, nn.Linear(channels, 4)
        self.weight, self.norm = nn.Parameter(torch.randn(4, filters * channels * 9) * (9 * channels) ** -0.5), nn.BatchNorm2d(filters)

    def forward(self, x):
        share = torch.sigmoid(self.router(x.mean([2, 3])))
        weight = (share @ self.weight).view(-1, x.shape[1], 3, 3)
        y = F.conv2d(x.reshape(1, -1, *x.shape[2:]), weight, stride=self.stride, padding=1, groups=x.shape[0])
        return F.relu(self.norm(y.view(x.shape[0], -1, *y.shape[2:])))


@model("condconv")
def condconv():
    layers = [conv_norm(3, 32, 3, 2), DynamicConv(32, 48, 2), DynamicConv(48, 48), DynamicConv(48, 64, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return settle(nn.Sequential(*layers, nn.Linear(64, 10)), image(96)), {"x": image(96)}


class Proposals(nn.Module):
    """Faster R-CNN's second half: the best anchors, overlapping ones suppressed, features pooled from each box."""

    def __init__(self, c=32, cells=16, scale=8):
        super().__init__()
        self.scale = scale
        self.body = nn.Sequential(conv_norm(3, c, 3, 2), conv_norm(c, c, 3, 2), conv_norm(c, c, 3, 2))
        self.score, self.delta = nn.Conv2d(c, 3, 1), nn.Conv2d(c, 12, 1)
        y, x = torch.meshgrid(torch.arange(cells) * scale + 4.0, torch.arange(cells) * scale + 4.0, indexing="ij")
        size = torch.tensor([16.0, 32.0, 64.0])
        self.register_buffer("anchor", torch.stack([x[..., None].expand(-1, -1, 3), y[..., None].expand(-1, -1, 3), size.expand(cells, cells, 3)], -1).view(-1, 3))
        self.head = nn.Sequential(nn.Linear(c * 49, 128), nn.ReLU(), nn.Linear(128, 21))

    def forward(self, x):
        f = self.body(x)
        score = self.score(f).permute(0, 2, 3, 1).reshape(-1)
        delta = self.delta(f).permute(0, 2, 3, 1).reshape(-1, 4)
        centre = self.anchor[:, :2] + delta[:, :2] * self.anchor[:, 2:]
        half = torch.exp(delta[:, 2:].clamp(max=2)) * self.anchor[:, 2:] / 2
        best, at = score.topk(200)
        box = torch.cat([centre - half, centre + half], 1)[at].clamp(0, 127)
        kept = torchvision.ops.nms(box, best, 0.7)[:50]
        box = box[kept]
        pooled = torchvision.ops.roi_align(f, [box], 7, 1 / self.scale, 2)
        return box, best[kept], self.head(pooled.flatten(1)).softmax(1)


@model("faster_rcnn", traced=16)
def faster_rcnn():
    return settle_parts(Proposals()), {"x": image(128)}


def settle_parts(module):
    settle(module.body, image(128))
    return module.eval()


class Fourier(nn.Module):
    """A Fourier neural operator: the lowest frequencies mixed by matrices, by real transforms written as products."""

    def __init__(self, c=32, modes=12, n=256):
        super().__init__()
        angle = 2 * torch.pi / n * torch.outer(torch.arange(n), torch.arange(modes)).float()
        self.register_buffer("cosine", angle.cos())
        self.register_buffer("sine", angle.sin())
        self.real, self.imaginary = nn.Parameter(torch.randn(c, c, modes) / c), nn.Parameter(torch.randn(c, c, modes) / c)
        self.local = nn.Conv1d(c, c, 1)

    def forward(self, x):
        a, b = x @ self.cosine, -(x @ self.sine)
        mix = lambda y, w: torch.einsum("bim,iom->bom", y, w)
        re, im = mix(a, self.real) - mix(b, self.imaginary), mix(a, self.imaginary) + mix(b, self.real)
        y = (re @ self.cosine.t() - im @ self.sine.t()) * (2 / x.shape[-1])
        return F.gelu(y + self.local(x))


@model("fno", open={"x": {0: "batch"}})
def fno():
    layers = [nn.Conv1d(2, 32, 1), *[Fourier() for _ in range(4)], nn.Conv1d(32, 64, 1), nn.GELU(), nn.Conv1d(64, 1, 1)]
    return nn.Sequential(*layers).eval(), {"x": torch.randn(4, 2, 256)}


class Keypoints(nn.Module):
    """SuperPoint: cells of 8x8 as 65 classes, peaks kept where they are the largest around, descriptors of length one."""

    def __init__(self):
        super().__init__()
        pair = lambda a, b: nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.Conv2d(b, b, 3, padding=1), nn.ReLU())
        self.body = nn.Sequential(pair(1, 32), nn.MaxPool2d(2, 2), pair(32, 32), nn.MaxPool2d(2, 2), pair(32, 64), nn.MaxPool2d(2, 2), pair(64, 64))
        self.score = nn.Sequential(nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(), nn.Conv2d(128, 65, 1))
        self.describe = nn.Sequential(nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(), nn.Conv2d(128, 64, 1))

    def forward(self, x):
        f = self.body(x)
        score = (100 * self.score(f)).softmax(1)[:, :-1]  # as far apart as those of a trained one: ranks hang on them
        b, _, h, w = score.shape
        score = score.permute(0, 2, 3, 1).reshape(b, h, w, 8, 8).permute(0, 1, 3, 2, 4).reshape(b, 1, h * 8, w * 8)
        peak = torch.where(score == F.max_pool2d(score, 9, 1, 4), score, torch.zeros_like(score))
        best, at = peak.flatten(1).topk(64)
        place = torch.stack([at % (w * 8), torch.div(at, w * 8, rounding_mode="floor")], -1).float()
        grid = place / torch.tensor([w * 8 - 1.0, h * 8 - 1.0]) * 2 - 1
        found = F.grid_sample(F.normalize(self.describe(f)), grid[:, None], align_corners=True)
        return place, best, F.normalize(found[:, :, 0])


@model("superpoint", traced=17)
def superpoint():
    return Keypoints().eval(), {"x": torch.rand(1, 1, 120, 160)}


class Masks(nn.Module):
    """SAM's decoder: tokens and pixels attend to one another, pixels grow, a product with the tokens' filters."""

    def __init__(self, d=128, heads=4, tokens=6):
        super().__init__()
        self.token = nn.Parameter(torch.randn(tokens, d))
        attend = lambda: nn.MultiheadAttention(d, heads, batch_first=True)
        self.layers = nn.ModuleList([nn.ModuleList([attend(), attend(), attend(), nn.Sequential(nn.Linear(d, 4 * d), nn.ReLU(), nn.Linear(4 * d, d)),
                                                    *[nn.LayerNorm(d) for _ in range(4)]]) for _ in range(2)])
        self.up = nn.Sequential(nn.ConvTranspose2d(d, 32, 2, 2), nn.GroupNorm(1, 32), nn.GELU(), nn.ConvTranspose2d(32, 16, 2, 2), nn.GELU())
        self.filter, self.quality = nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, 16)), nn.Linear(d, 4)

    def forward(self, pixels, prompt):
        b, d, h, w = pixels.shape
        q = torch.cat([self.token.expand(b, -1, -1), prompt], 1)
        k = pixels.flatten(2).transpose(1, 2)
        for own, to_pixels, to_tokens, mlp, *norm in self.layers:
            q = norm[0](q + own(q, q, q, need_weights=False)[0])
            q = norm[1](q + to_pixels(q, k, k, need_weights=False)[0])
            q = norm[2](q + mlp(q))
            k = norm[3](k + to_tokens(k, q, q, need_weights=False)[0])
        y = self.up(k.transpose(1, 2).reshape(b, d, h, w))
        return (self.filter(q[:, :4]) @ y.flatten(2)).view(b, 4, 4 * h, 4 * w), self.quality(q[:, 0])


@model("sam_decoder", open={"prompt": {1: "points"}})
def sam_decoder():
    return Masks().eval(), {"pixels": torch.randn(1, 128, 32, 32), "prompt": torch.randn(1, 2, 128)}


class Video(nn.Module):
    """X3D: depthwise 3x3x3 convolutions between 1x1x1 ones; R(2+1)D's pairs at the entry."""

    def __init__(self, c=24):
        super().__init__()
        norm = lambda a, b, k, s=1, g=1, act=nn.ReLU: nn.Sequential(
            nn.Conv3d(a, b, k, s, tuple(x // 2 for x in k), groups=g, bias=False), nn.BatchNorm3d(b), act())
        self.stem = nn.Sequential(norm(3, c, (1, 3, 3), (1, 2, 2)), norm(c, c, (5, 1, 1), 1, c))
        block = lambda a, b, s: nn.Sequential(norm(a, 54, (1, 1, 1)), norm(54, 54, (3, 3, 3), s, 54, nn.SiLU), norm(54, b, (1, 1, 1), act=nn.Identity))
        self.blocks = nn.ModuleList([block(c, c, (1, 2, 2)), block(c, c, 1), block(c, c, 1)])
        self.last = nn.Linear(c, 50)

    def forward(self, x):
        x = self.stem(x)
        x = self.blocks[0](x)
        for block in list(self.blocks)[1:]:
            x = F.relu(x + block(x))
        return self.last(x.mean([2, 3, 4]))


@model("x3d", open={"x": {0: "batch"}})
def x3d():
    return settle(Video(), torch.randn(1, 3, 8, 64, 64)), {"x": torch.randn(1, 3, 8, 64, 64)}


class Patches(nn.Module):
    """PatchTST: each channel of a series by itself, in overlapping patches, its mean and spread taken out and put back."""

    def __init__(self, d=64, patch=16, stride=8, length=336, ahead=96):
        super().__init__()
        self.patch, self.stride = patch, stride
        n = (length - patch) // stride + 1
        self.embed, self.position = nn.Linear(patch, d), nn.Parameter(torch.randn(n, d) * 0.02)
        layer = nn.TransformerEncoderLayer(d, 4, 128, activation="gelu", batch_first=True, norm_first=True)
        self.body, self.last = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False), nn.Linear(n * d, ahead)

    def forward(self, x):
        mean, spread = x.mean(1, keepdim=True), torch.sqrt(x.var(1, keepdim=True, unbiased=False) + 1e-5)
        y = ((x - mean) / spread).transpose(1, 2)
        b, c, _ = y.shape
        y = self.embed(y.unfold(-1, self.patch, self.stride)) + self.position
        y = self.last(self.body(y.flatten(0, 1)).flatten(1)).view(b, c, -1)
        return y.transpose(1, 2) * spread + mean


@model("patchtst")
def patchtst():
    return Patches().eval(), {"x": torch.randn(2, 336, 7).cumsum(1)}
