from pml_aug.heads.introspective import IntrospectiveHead

__all__ = ["IntrospectiveHead"]
