"""Image classifiers of torchvision: the convolutional families, and two with attention or layer norms in their place."""
from torch import nn

from .blocks import image, settle
from .registry import model


def torchvision_model(name, size=224, **options):
    import torchvision
    module = getattr(torchvision.models, name)(weights=None, **options)
    if name in ("googlenet", "inception_v3"):  # their heads for training
        module.aux_logits, module.AuxLogits = False, None
        module.aux1 = module.aux2 = None
    return settle(module, image(size)), {"x": image(size)}


def add(name, family=None, open=None, traced=0, **options):
    model(name, open, traced)(lambda: torchvision_model(family or name, **options))
    return name


for plain in ("squeezenet1_1", "densenet121", "efficientnet_b0", "mobilenet_v3_large", "shufflenet_v2_x1_0", "regnet_y_400mf",
              "convnext_tiny", "swin_t"):
    add(plain)
add("resnet18", traced=13)
add("resnet18_dyn", "resnet18", traced=17, open={"x": {0: "batch", 2: "h", 3: "w"}})
add("mobilenet_v3_small", traced=13)
add("mobilenet_v3_dyn", "mobilenet_v3_large", traced=17, open={"x": {0: "batch"}})
add("mnasnet1_0", traced=17)
add("efficientnet_v2_s", size=160)
add("googlenet", init_weights=False)
add("inception_v3", traced=17, size=299, init_weights=False)


@model("vgg11_64")
def vgg11():
    import torchvision
    features = torchvision.models.vgg11(weights=None).features
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 100)]
    return nn.Sequential(features, *head).eval(), {"x": image(128)}
