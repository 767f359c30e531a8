from pml_aug.miners.expansion_miner import ExpansionMiner

__all__ = ["ExpansionMiner"]
