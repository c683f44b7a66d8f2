"""What a run would do: wanted minus known. Plain functions over what journal, lock and disk say."""
